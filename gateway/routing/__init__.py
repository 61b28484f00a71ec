r"""Which route takes a request.

What it decides
    Host, path, method and header fields select one route by name, or the request is refused with
    ``no_route``, ``method_not_allowed``, ``ambiguous_path`` or ``bad_target``. Nothing else is read,
    nothing waits, nothing is remembered between requests.

The order is specificity, never the order in the file
    1. host: an exact name, then wildcards from the longest suffix to the shortest, then any host;
    2. path, segment by segment: a literal, then a parameter, then the ``/*`` of a prefix; a path that
       ends exactly is before a prefix that ends at the same place;
    3. a rule that names methods before one that takes every method (HEAD is served by a rule for GET
       where no rule names HEAD);
    4. more header conditions before fewer.
    Two routes that are equal in all four and can both match one request are a tie. A tie is an error
    when the table is compiled, so moving a route in the file can never change who serves a request.

The algorithm
    One trie of path segments per host pattern. The tries that a host may use are tried from the most
    to the least specific; inside a trie a depth-first walk meets the places where patterns end in
    exactly the order above, and each place selects by method and header values through dictionaries.
    A place whose rules fail on method or headers is left for the next one (backtracking), so a special
    route never hides a general one. The cost is a few dictionary look-ups per segment and does not
    grow with the number of routes.

One meaning per path
    The target is forwarded untouched, so the upstream may read it in another way than this table: it
    may decode ``%2e``, merge ``//``, resolve ``..``, cut ``;parameters`` or take ``\`` for ``/``. A
    request is routed only when every such reading selects the same route as the path as written;
    otherwise it is refused (``ambiguous_path``), because a rule that protects ``/admin/*`` must also
    protect what becomes ``/admin/`` behind us. Paths without any of those marks pay five substring
    searches for this and nothing more. See :mod:`gateway.routing.paths`.

What it does not do
    No regular expressions, no query matching, no priorities by hand, no case folding of paths. A
    header condition looks at the first value of a repeated field.
"""
