"""The zoo: one limit, told nothing, before services and loads of every scale, in virtual time.

``cells`` are the services, times and loads; ``story`` lives through one with a limit in front, or with nothing;
``laws`` judge it; ``__main__`` runs them and prints. Work in the service goes on after a client leaves.
"""
