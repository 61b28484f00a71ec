"""Names under which a secret is likely to stand: of parameters, header fields, keys of JSON and of our configuration.

One list for all of them, so that what is hidden in one place is not shown in another.
"""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"

_FIELDS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie", "set-cookie2"})

# These give a secret away anywhere in a name, whatever stands between its words.
_ANYWHERE: Final = re.compile(
    r"token|passw|passphrase|passcode|pwd|secret|signature|credential|bearer|apikey|accesskey|privatekey|accountkey"
    r"|sharedkey|sessionid|saml(?:response|request|assertion|art)|csrf|xsrf|codeverifier|connectionstring"
)
# These only as a whole word, so that "author", "monkey" and "design" stay readable.
_WORD: Final = re.compile(r"(?:^|[^a-z])(?:key|sig|auth|pass|session|sid|jwt|otp|pin|assertion)(?:$|[^a-z])|^code$")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN: Final = re.compile(r"[^a-z0-9]+")


def is_surely_secret(name: str) -> bool:
    """Whether the name says so in whatever text it stands; "code" and "key" may be anything."""
    lower = name.lower()
    return lower.replace("_", "-") in _FIELDS or _ANYWHERE.search(_BETWEEN.sub("", lower)) is not None


def is_secret(name: str) -> bool:
    """Whether a parameter, a field or a key with this name is likely to hold a secret."""
    return is_surely_secret(name) or _WORD.search(_CAMEL.sub("-", name).lower()) is not None
