"""What OpenSSL's error queue says, as OpenSSL 3.0 prints it.

The library at hand may be another version: its texts are brought to those of 3.0, with which the
numbers and places belong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

#: The number of the library "SSL routines".
_SSL_ROUTINES = 0x0A000000
_FIRST_ALERT = 1000

_TABLE = """\
100 app data in handshake
101 no suitable key share
102 bad dh value
103 bad change cipher spec
105 bad hello request
108 bad key share
110 bad extension
111 bad digest length
112 missing sigalgs extension
115 bad packet length
116 bad protocol version number
118 no suitable signature algorithm
119 bad rsa encrypt
122 bad key update
123 bad signature
129 block cipher pad is wrong
133 ccs received early
134 certificate verify failed
135 cert length mismatch
145 data between ccs and finished
146 data length too long
147 decryption failed
149 digest check failed
150 encrypted length too long
152 excessive message size
153 extra data in message
154 got a fin before a ccs
155 https proxy request
156 http request
159 length mismatch
160 length too short
166 version too high
176 no certificates returned
177 no certificate assigned
181 no ciphers available
185 no cipher match
190 no private key assigned
191 no protocols available
193 no shared cipher
198 packet length too long
199 peer did not return a certificate
205 invalid alert
207 protocol is shutdown
209 missing supported groups extension
214 no change following hrr
217 unsolicited extension
220 signature for non signing certificate
221 missing signing cert
226 clienthello tlsext
227 parse tlsext
229 ssl handshake failure
240 bad packet
241 insufficient security
243 unable to load ssl3 sha1 routines
244 unexpected message
245 unexpected record
246 unknown alert type
250 unknown key exchange type
252 unknown protocol
253 binder does not verify
254 unknown ssl version
257 unsupported compression algorithm
258 unsupported protocol
259 unsupported ssl version
263 bad hrr version
264 wrong signature length
266 wrong ssl version
267 wrong version number
271 bad length
275 serverhello tlsext
279 extension not received
281 decryption failed or bad record mac
291 application data after close notify
292 bad legacy version
293 mixed handshake and non handshake data
294 unexpected eof while reading
298 record too small
304 bad ecc cert
306 bad ecpoint
315 unsupported elliptic curve
318 ecc cert not for signing
333 legacy sigalg disallowed or unsupported
337 renegotiation mismatch
338 unsafe legacy renegotiation disabled
339 no renegotiation
340 inconsistent compression
360 signature algorithms error
368 unknown digest
370 wrong signature type
372 ssl negative length
373 inappropriate fallback
376 no shared signature algorithms
378 wrong curve
383 wrong certificate type
394 dh key too small
396 version too low
397 ca key too small
398 ca md too weak
399 ee key too small
401 fragmented client hello
409 too many warn alerts
410 no shared groups
443 bad record type
1010 sslv3 alert unexpected message
1020 sslv3 alert bad record mac
1021 tlsv1 alert decryption failed
1022 tlsv1 alert record overflow
1030 sslv3 alert decompression failure
1040 sslv3 alert handshake failure
1041 sslv3 alert no certificate
1042 sslv3 alert bad certificate
1043 sslv3 alert unsupported certificate
1044 sslv3 alert certificate revoked
1045 sslv3 alert certificate expired
1046 sslv3 alert certificate unknown
1047 sslv3 alert illegal parameter
1048 tlsv1 alert unknown ca
1049 tlsv1 alert access denied
1050 tlsv1 alert decode error
1051 tlsv1 alert decrypt error
1060 tlsv1 alert export restriction
1070 tlsv1 alert protocol version
1071 tlsv1 alert insufficient security
1080 tlsv1 alert internal error
1086 tlsv1 alert inappropriate fallback
1090 tlsv1 alert user cancelled
1100 tlsv1 alert no renegotiation
1109 tlsv13 alert missing extension
1110 tlsv1 unsupported extension
1111 tlsv1 certificate unobtainable
1112 tlsv1 unrecognized name
1113 tlsv1 bad certificate status response
1114 tlsv1 bad certificate hash value
1115 tlsv1 alert unknown psk identity
1116 tlsv13 alert certificate required
1120 tlsv1 alert no application protocol
"""
_NUMBERS = {text: int(n) for n, _, text in (row.partition(" ") for row in _TABLE.splitlines())}

#: Where in OpenSSL 3.0 some errors come from.
_PLACES = {
    "http request": "../ssl/record/ssl3_record.c:345",
    "https proxy request": "../ssl/record/ssl3_record.c:349",
    "no shared cipher": "../ssl/statem/statem_srvr.c:2220",
    "peer did not return a certificate": "../ssl/statem/statem_srvr.c:3511",
    "unexpected eof while reading": "../ssl/record/rec_layer_s3.c:318",
    "unsupported protocol": "../ssl/statem/statem_srvr.c:1657",
    "wrong version number": "../ssl/record/ssl3_record.c:350",
}
_PLACE_OF_ALERTS = "../ssl/record/rec_layer_s3.c:1602"
_SOME_PLACE = "../ssl/ssl_lib.c:0"

#: What alerts begin with in later versions, and in 3.0.
_ALERT = re.compile(r"(?:ssl/)?tls alert ")
_ALERTS_OF_3_0 = ("sslv3 alert ", "tlsv1 alert ", "tlsv13 alert ", "tlsv1 ")
#: What they add.
_UNKNOWN_TO_3_0 = frozenset({"record layer failure"})


class LibraryError(NamedTuple):
    """An entry of the error queue: the library's name and the reason."""

    library: str
    reason: str

    def __str__(self) -> str:
        number = _NUMBERS.get(self.reason, 0)
        code = _SSL_ROUTINES | number if self.library == "SSL routines" else 0
        place, data = _PLACES.get(self.reason, _SOME_PLACE), ""
        if number >= _FIRST_ALERT:
            place, data = _PLACE_OF_ALERTS, f"SSL alert number {number - _FIRST_ALERT}"
        text = f"error:{code:08X}:{self.library}::{self.reason}:{place}:"
        return f"{text}{data}:" if data else text


UNEXPECTED_EOF = LibraryError("SSL routines", "unexpected eof while reading")


def library_errors(queue: Iterable[Iterable[str]]) -> list[LibraryError]:
    """The entries of an exception of pyOpenSSL's: each has library, function and reason."""
    found = []
    for entry in queue:
        parts = list(entry)
        library, reason = parts[0], parts[-1]
        if reason in _UNKNOWN_TO_3_0:
            continue
        alert = _ALERT.match(reason)
        if alert is not None:
            names = [start + reason[alert.end() :] for start in _ALERTS_OF_3_0]
            reason = next((name for name in names if name in _NUMBERS), names[0])
        found.append(LibraryError(library, reason))
    return found
