"""Says how each of a driver's checks ended, for the test that started it to compare with PostgreSQL's.

Lines: `ok NAME: value`, `failed NAME: why`."""


def checks(after):
    """A decorator that runs the function at once; what it gives is to be the same on both servers.

    `after` is called when one has failed, for the others to go on."""

    def check(test):
        try:
            how, said = "ok", repr(test())
        except Exception as error:
            how, said = "failed", f"{type(error).__name__}: {error}"
            after()
        print(f"{how} {test.__name__}: {' '.join(said.split())}", flush=True)

    return check
