"""What is shipped beside the code: images, manifests, units, policies. Each by the schemas of who will read it."""
