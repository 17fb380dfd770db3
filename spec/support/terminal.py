import os, pty, sys, select, time, signal
# usage: pty.py [--int] words...  runs in a terminal; prints what came and the exit
def main():
    words = sys.argv[1:]
    send_int = words[0] == "--int"
    if send_int: words = words[1:]
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(words[0], words)
    out = b""
    start = time.time()
    while True:
        r, _, _ = select.select([fd], [], [], 0.5)
        if r:
            try: data = os.read(fd, 65536)
            except OSError: break
            if not data: break
            out += data
        elif send_int:
            os.write(fd, b"\x03"); send_int = False
        if time.time() - start > 20: os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    sys.stdout.write(repr(out) + "\n" + ("exit %d" % os.WEXITSTATUS(status) if os.WIFEXITED(status) else "signal %d" % os.WTERMSIG(status)) + "\n")
main()
