"""Clients of whoever runs the model, and what reelroute asks of them."""
