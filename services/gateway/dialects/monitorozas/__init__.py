"""Device and blacklist API of Monitorozás.hu, /api/v1."""
