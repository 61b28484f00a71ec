"""The other side of every conversation: origins, clients and a gateway to stand between them."""
