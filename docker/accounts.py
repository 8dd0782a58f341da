"""Make the accounts of trainer and trader at the MLflow server, or renew their passwords.

It runs in the image of the server, without the code of Barwright, and needs Python only. It reads
MLFLOW_TRACKING_URI, MLFLOW_AUTH_ADMIN_PASSWORD, TRAINER_PASSWORD and TRADER_PASSWORD.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.request

ADMIN = "admin"
ACCOUNTS = {"trainer": "TRAINER_PASSWORD", "trader": "TRADER_PASSWORD"}


def main() -> None:
    """Make each account; end with one line of error if the server refuses one."""
    for name, variable in ACCOUNTS.items():
        account = {"username": name, "password": os.environ[variable]}
        refusal = request("POST", "create", account)
        if "RESOURCE_ALREADY_EXISTS" in refusal:
            refusal = request("PATCH", "update-password", account)
        if refusal:
            sys.exit(f"Error: the account {name!r} ({variable}) was not made: {refusal}")


def request(method: str, action: str, account: dict[str, str]) -> str:
    """Send a request of the user API as the administrator; return why it was refused, or ``""``."""
    user = f"{ADMIN}:{os.environ['MLFLOW_AUTH_ADMIN_PASSWORD']}"
    asked = urllib.request.Request(
        f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/users/{action}",
        method=method,
        data=json.dumps(account).encode(),
        headers={
            "Authorization": f"Basic {base64.b64encode(user.encode()).decode()}",
            "Content-Type": "application/json",
        },
    )
    try:
        urllib.request.urlopen(asked, timeout=30).close()
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code} {error.read().decode()}"
    return ""


if __name__ == "__main__":
    main()
