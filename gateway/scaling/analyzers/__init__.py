"""What the signals mean for the number of replicas: one opinion a file, and nobody knows the others."""
