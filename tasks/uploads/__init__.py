"""What stores and clouds post when an object lands, read into values: pure, no network, no secrets checked."""
