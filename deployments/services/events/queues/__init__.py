"""Queues that stores put their notifications into, for those without a public address."""
