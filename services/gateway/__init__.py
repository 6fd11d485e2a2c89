"""HTTP gateway: authenticates and validates requests and forwards them over the bus. Stateless."""
