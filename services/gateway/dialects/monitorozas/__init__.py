"""The device and blacklist API of Monitorozás.hu as one dialect."""
