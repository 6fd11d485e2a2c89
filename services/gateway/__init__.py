"""The only HTTP door: it knows who asks, checks what is asked, and passes it on over the bus. It holds no state."""
