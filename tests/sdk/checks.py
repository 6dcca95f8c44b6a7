"""What all checks of the test server share. The server has the buckets `sdk-bucket` and, for COS whose bucket
names end in the account's number, `sdk-bucket-1250000000`; `foreign-bucket…` is another account's, and
`public-bucket…` may be read by everybody."""
import traceback

MIB = 1 << 20
BODY = bytes(range(256)) * 40
# Keys that every vendor and its SDK carry as they are.
KEYS = ["plain", "a//b", "sp ace+plus&=?#%41", "\u4e2d\u6587/\U0001f600", "dir/", "back\\slash", "quote\"'<>&amp;", "~tilde*()!"]
# Endpoint and keys, set by the program.
SERVER = {}
CHECKS = []


def check(f):
    CHECKS.append(f)
    return f


def refused(code, call):
    """The call fails with this code."""
    try:
        call()
    except Exception as e:  # each SDK has its own
        said = repr(e) + str(e) + str(getattr(e, "response", "")) + str(getattr(e, "details", "")) + str(getattr(e, "code", ""))
        while e is not None:
            said += repr(getattr(e, "__dict__", ""))
            e = e.unwrap() if hasattr(e, "unwrap") else e.__cause__
        assert code in said, f"wanted {code}, got {said[:400]}"
        return
    raise AssertionError(f"not refused with {code}")


def address():
    """Host and port of the server."""
    host, port = SERVER["endpoint"].removeprefix("http://").split(":")
    return host, int(port)


def in_order(keys):
    return sorted(keys, key=lambda key: key.encode())


def run(prefix):
    mine = [c for c in CHECKS if c.__name__.startswith(prefix)]
    failed = 0
    for c in mine:
        try:
            c()
            print("ok", c.__name__)
        except Exception:
            failed += 1
            print("FAILED", c.__name__)
            traceback.print_exc(limit=6)
    print(f"{len(mine) - failed} passed, {failed} failed")
    return 1 if failed or not mine else 0
