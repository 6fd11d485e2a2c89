"""Kind `port`: connections to TCP and UDP ports, and protocol checks of the services behind them."""
