"""A mail server for tests: aiosmtpd on a free port of this machine.

It says its port in the first line. Then each mail is a line of JSON, as Python's own mail library reads it. A line
`refuse CODE TEXT` on its standard input makes it answer that to each mail from then on, `accept` take mails again;
it says `ok` when it does. `wrapped CERTIFICATE KEY` on its command line encrypts from the start, `starttls CERTIFICATE
KEY` takes mails only after STARTTLS.
"""

import asyncio
import json
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP


class Handler:
    answer = "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if not self.answer.startswith("250"):
            print(json.dumps({"refused": envelope.rcpt_tos}), flush=True)
            return self.answer
        mail = message_from_bytes(envelope.content, policy=policy.default)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(mail["subject"]),
            "message_id": str(mail["message-id"]),
            "auto_submitted": str(mail["auto-submitted"]),
            "text": mail.get_content(),
        }
        print(json.dumps(told), flush=True)
        return self.answer


async def main():
    handler = Handler()
    loop = asyncio.get_running_loop()
    wrapped, options = None, {}
    if len(sys.argv) > 1:
        how, certificate, key = sys.argv[1:]
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        if how == "wrapped":
            wrapped = context
        else:
            options = {"tls_context": context, "require_starttls": True}
    make = lambda: SMTP(handler, enable_SMTPUTF8=True, **options)
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word, _, rest = line.strip().partition(" ")
        handler.answer = rest if word == "refuse" else "250 OK"
        print("ok", flush=True)


asyncio.run(main())
