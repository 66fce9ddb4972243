"""What runs on Ray: the driver's side, the workers' side, and what passes between them."""
