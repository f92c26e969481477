"""Runs a command on a pseudo-terminal: stdin -> keyboard, screen -> stdout. argv: ROWS COLUMNS COMMAND..."""
import fcntl
import os
import pty
import select
import struct
import sys
import termios

rows, columns, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
pid, master = pty.fork()
if pid == 0:
    # The child's own terminal is sized before it starts, so that it never sees another size.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execvp(command[0], command)

sources = [master, 0]
while master in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            data = os.read(source, 65536)
        except OSError:  # EIO: the child closed its side of the terminal
            data = b""
        if not data:
            sources.remove(source)
        elif source == master:
            os.write(1, data)
        else:
            os.write(master, data)

status = os.waitpid(pid, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
