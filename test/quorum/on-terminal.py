"""Runs a command on a pseudo-terminal and types a line whenever a prompt appears. argv: PROMPT, COMMAND...
The line to type comes on standard input; the screen goes to standard output; the exit status is the command's."""
import os
import pty
import select
import sys
import time

prompt, command = sys.argv[1].encode(), sys.argv[2:]
line = sys.stdin.buffer.readline()
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
screen, seen, end = b"", 0, time.monotonic() + 30
while time.monotonic() < end:
    if not select.select([terminal], [], [], 0.5)[0]:
        continue
    try:
        data = os.read(terminal, 4096)
    except OSError:  # the command closed its terminal
        break
    if not data:
        break
    screen += data
    if screen.count(prompt) > seen:
        seen = screen.count(prompt)
        os.write(terminal, line)
else:
    os.kill(pid, 9)
sys.stdout.buffer.write(screen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
