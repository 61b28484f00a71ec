"""Requests that no HTTP/1.1 server may take, for every port that speaks HTTP.

Each is refused with a 4xx (501 or 505 where that fits) and the connection is closed. The numbers are the
advisories that taught the case.
"""

from __future__ import annotations

from tests.support.world import SMUGGLED, get, post

CHUNKED_EVIL = b"0\r\n\r\n" + SMUGGLED
_CL = b"Content-Length: 5\r\n"
_TE = b"Transfer-Encoding: chunked\r\n"

LENGTH_AND_CODING = {
    "length, coding": post(_CL + _TE, CHUNKED_EVIL),
    "coding, length": post(_TE + _CL, CHUNKED_EVIL),
    "lower case": post(_CL.lower() + _TE.lower(), CHUNKED_EVIL),
    "upper case": post(_CL.upper() + _TE.upper(), CHUNKED_EVIL),
    "zero length, coding": post(b"Content-Length: 0\r\n" + _TE, CHUNKED_EVIL),
    "coding, zero length": post(_TE + b"Content-Length: 0\r\n", CHUNKED_EVIL),
}

LENGTHS = {
    "two that differ": post(_CL + b"Content-Length: 6\r\n", b"abcdef"),
    "two that agree": post(_CL + _CL, b"abcde"),
    "two in other cases": post(_CL + b"content-length: 5\r\n", b"abcde"),
    "zero and five": post(b"Content-Length: 0\r\nContent-Length: 5\r\n", b"abcde"),
    **{
        f"form {form!r}": post(b"Content-Length: " + form + b"\r\n", b"abcde" + SMUGGLED)
        for form in (
            b"+5", b"-5", b"-0", b"5_0", b"0x10", b"0x5", b"5;", b"1e1", b"5.0", "\u0665".encode(), "\uff15".encode(),
            b"18446744073709551621", b"9" * 400, b"", b"5,", b",5", b"5, 5", b"5,6", b"5 5", b"five", b"\x0b5",
            b"5\x0c", b"\xa05", b'"5"', b"5\x00",
        )
    },
}  # fmt: skip

CODINGS = {
    repr(value): post(b"Transfer-Encoding: " + value + b"\r\n", CHUNKED_EVIL)
    for value in (
        b"xchunked", b"chunkedx", b"chunked, identity", b"identity, chunked", b"chunked, chunked", b",chunked",
        b"chunked,", b"chunked;q=1", b'"chunked"', b"'chunked'", b"identity", b"gzip", b"gzip, chunked", b"", b"chunke",
        b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"\xa0chunked", b"\x85chunked", b"\xffchunked",
        b"chunked\x00", b"\x00chunked", b"\xc2\xa0chunked", b"chunked \xa0", b"cow", b"chunked chunked",
        b"chun ked", b"\xe2\x84\xaahunked",
    )
} | {
    "space before colon": post(b"Transfer-Encoding : chunked\r\n", CHUNKED_EVIL),
    "space before name": post(b" Transfer-Encoding: chunked\r\n", CHUNKED_EVIL),
    "tab before name": post(b"X: y\r\n\tTransfer-Encoding: chunked\r\n", CHUNKED_EVIL),
    "folded": post(b"Transfer-Encoding:\r\n chunked\r\n", CHUNKED_EVIL),
    "folded with tab": post(b"Transfer-Encoding:\r\n\tchunked\r\n", CHUNKED_EVIL),
    "folded after": post(b"Transfer-Encoding: chunked\r\n , identity\r\n", CHUNKED_EVIL),
    "broken name": post(b"Transfer-\r\nEncoding: chunked\r\n", CHUNKED_EVIL),
    "two lines": post(_TE + _TE, CHUNKED_EVIL),
    "two lines, identity first": post(b"Transfer-Encoding: identity\r\n" + _TE, CHUNKED_EVIL),
    "two lines, identity last": post(_TE + b"Transfer-Encoding: identity\r\n", CHUNKED_EVIL),
    "vertical tab in the name": post(b"Transfer-Encoding\x0b: chunked\r\n", CHUNKED_EVIL),
    "NUL in the name": post(b"Transfer-Encoding\x00: chunked\r\n", CHUNKED_EVIL),
    "HTTP/1.0": b"POST /case HTTP/1.0\r\nHost: gateway.test\r\n" + _TE + b"\r\n" + CHUNKED_EVIL,
    "HTTP/1.0 keep-alive": b"POST /case HTTP/1.0\r\nHost: gateway.test\r\nConnection: keep-alive\r\n" + _TE + b"\r\n" + CHUNKED_EVIL,
    "HTTP/1.0 with length": b"POST /case HTTP/1.0\r\nHost: gateway.test\r\n" + _CL + _TE + b"\r\n" + CHUNKED_EVIL,
}  # fmt: skip

LINES = {
    "folded line": get(fields=b"X-A: b\r\n evil\r\n"),
    "folded with tab": get(fields=b"X-A: b\r\n\tevil\r\n"),
    "folded Host": b"GET /case HTTP/1.1\r\nHost:\r\n evil.test\r\n\r\n",
    "space before the first field": b"GET /case HTTP/1.1\r\n X-A: evil\r\nHost: a\r\n\r\n",
    "tab before the first field": b"GET /case HTTP/1.1\r\n\tHost: evil\r\nHost: a\r\n\r\n",
    "bare LF everywhere": b"GET /case HTTP/1.1\nHost: evil.test\n\n",
    "bare LF after the request line": b"GET /case HTTP/1.1\nHost: evil.test\r\n\r\n",
    "bare LF after a field": b"GET /case HTTP/1.1\r\nHost: a\nX-A: evil\r\n\r\n",
    "bare LF at the end": b"GET /case HTTP/1.1\r\nHost: a\r\n\n",
    "bare CR in a value": get(fields=b"X-A: b\revil\r\n"),
    "bare CR in a name": get(fields=b"X-\rA: evil\r\n"),
    "bare CR after the request line": b"GET /case HTTP/1.1\rHost: evil.test\r\n\r\n",
    "CR CR LF": b"GET /case HTTP/1.1\r\r\nHost: evil.test\r\r\n\r\r\n",
    "CR CR LF after a field": get(fields=b"X-A: evil\r\r\n"),
    "NUL in a name": get(fields=b"X\x00A: evil\r\n"),
    "NUL in a value": get(fields=b"X-A: ev\x00il\r\n"),
    "NUL in the target": get(b"/ev\x00il"),
    "control in a value": get(fields=b"X-A: evil\x01\r\n"),
    "DEL in a value": get(fields=b"X-A: evil\x7f\r\n"),
    "escape in a value": get(fields=b"X-A: \x1b[31mevil\r\n"),
    "empty name": get(fields=b": evil\r\n"),
    "only a colon": get(fields=b":\r\n"),
    "no colon": get(fields=b"evil\r\n"),
    "space in a name": get(fields=b"X A: evil\r\n"),
    "space before the colon": get(fields=b"X-A : evil\r\n"),
    "tab before the colon": get(fields=b"X-A\t: evil\r\n"),
    "parenthesis in a name": get(fields=b"X(A): evil\r\n"),
    "slash in a name": get(fields=b"X/A: evil\r\n"),
    "quote in a name": get(fields=b'X"A": evil\r\n'),
    "at in a name": get(fields=b"X@A: evil\r\n"),
    "0x80 in a name": get(fields=b"X\x80A: evil\r\n"),
    "0xff in a name": get(fields=b"\xffX: evil\r\n"),
    "UTF-8 in a name": get(fields="Ünicode: evil\r\n".encode()),
    "no target": b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces": b"GET  /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "space at the end of the request line": b"GET /evil HTTP/1.1 \r\nHost: a\r\n\r\n",
    "tab in the request line": b"GET\t/evil\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the target": b"GET /ev il HTTP/1.1\r\nHost: a\r\n\r\n",
    "space before the method": b" GET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03evil\r\n\r\n",
}

VERSIONS = {
    "0.9": b"GET /evil\r\n\r\n",
    "0.9 alone": b"GET /evil\r\n",
    "0.9 spelled out": b"GET /evil HTTP/0.9\r\nHost: a\r\n\r\n",
    **{
        version: f"GET /evil {version}\r\nHost: a\r\n\r\n".encode()
        for version in (
            "HTTP/11", "HTTP/-1.1", "http/1.1", "HTTP 1.1", "HTTPS/1.1", "HTTP/1,1", "HTTP/1.1x", "HTTP/ 1.1", "ICE/1.0",
            "RTSP/1.0",
        )
    },
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}  # fmt: skip

HOSTS = {
    "missing": b"GET /case HTTP/1.1\r\nX-A: evil\r\n\r\n",
    "two": b"GET /case HTTP/1.1\r\nHost: a\r\nHost: evil.test\r\n\r\n",
    "two that agree": b"GET /case HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "two in other cases": b"GET /case HTTP/1.1\r\nHost: a\r\nhOST: evil.test\r\n\r\n",
    **{
        repr(value): b"GET /case HTTP/1.1\r\nHost: " + value + b"\r\n\r\n"
        for value in (
            b"", b"a,evil.test", b"a, evil.test", b"a/evil", b"evil@a", b"a:99999", b"a:65536", b"a:evil", b"a:-1", b"a:+80",
            b"a evil", b"[fe80::1%25evil]", b"[fe80::1%evil]", b"a\x00evil", b"http://evil.test", b"a?evil", b"a#evil",
            b"a\\evil", b"[::1", b"::1", b"a:80:80", b'"evil"', b"<evil>", b"a\tevil", "évil".encode(), b"a;evil",
        )
    },
}  # fmt: skip
