"""Attacks on the sandbox, made as an agent would make them: through the manager's HTTP API.

How to add an attack
    1. Pick the file of its class in `attacks/`. An attack that differs from another only in a name
       or a number is no attack of its own: widen the other one.
    2. Most are one piece of code in a fresh sandbox:

           python("read-host-file", Promise.FILES, "print(open(HOST_FILE).read())",
                  shows("host_file"), breaks_plain=True)

       `command` takes a shell command. The code finds the places of canaries as variables (see
       `Canaries.facts`), never their values; `payloads.py` lists what else it finds. Attacks of
       several steps are functions under `@steps`.
    3. A criterion says "breached" only by evidence: a canary's value in the reply, a token that
       arrived at a listener, a host process that is gone or changed, a file on the host, or
       `breached(...)`, called by the code itself where only it can see what the kernel allowed.
    4. Name the promise that the attack tries. A level that does not make it skips the attack.
    5. Say `breaks_plain=True` if it succeeds against `plain_server.py`, a child process without any
       isolation. `test_control.py` requires it, and so proves that the criterion can fail. Whatever
       could hurt the machine there says `on_plain=False`.

An attack that did not run (no marker in its output, or an error of its own such as a NameError)
fails its test: it repelled nothing.
"""
