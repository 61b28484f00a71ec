"""Kubernetes: the scale subresource of a Deployment or StatefulSet.

Theory of operation. Three conversations with the API server, each of which may break without harm to the others:

1. *Watch* (:mod:`~gateway.actuators.kubernetes.watch`): list, then follow from that list's resourceVersion. Bookmarks
   move the version on; 410 Gone means that it is too old, and the list is read anew. It makes the view prompt, and
   cold starts exact to the moment at which a replica became ready.
2. *Look* (:mod:`~gateway.actuators.kubernetes.actuator`): every ten seconds the object is read outright, and the
   HorizontalPodAutoscalers of the namespace. A watch that is silent may be well or dead; only an answer proves that
   what we know is still so. ``View.at`` is the moment of the last proof, so with a dead API server it stays behind.
3. *Scale*: read ``…/scale``, and merge-patch ``spec.replicas`` with the resourceVersion that was read. Whoever changed
   the number meanwhile makes that a conflict (409); it is read once more and tried once more. Before each, the
   autoscalers are read anew: where one has the same target (KEDA makes its own) nothing is patched, because two that
   write the same number fight.

*Who we are*: the service account of the pod, whose token is read anew for each request because the kubelet rotates it,
or a kubeconfig. Plugins that run programs to log in are refused.

What it does not do: create anything, look at single pods, choose which pod goes (that is the controller's, see
``controller.kubernetes.io/pod-deletion-cost``).
"""
