package e2e

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// On a terminal a tail is a picture, and its progress a line that goes away.
func TestTailOnATerminal(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 20))
	db.Exec(`UPDATE items SET body = E'\x1b[2Jgone' WHERE id = 3`)
	s := newService(t, db.URL)
	for _, format := range []string{"table", "json"} {
		p := command(t, []string{"tail", "items", "--url", s.url, "--format", format})
		screen := onTerminal(t, p)
		shows := func(pattern string) {
			t.Helper()
			eventually(t, 30*time.Second, pattern, func() error {
				if !regexp.MustCompile(pattern).MatchString(screen.String()) {
					return fmt.Errorf("the screen shows %q", screen)
				}
				return nil
			})
		}
		p.start()
		if format == "json" {
			shows(`"id":"20"`)
		} else {
			shows(`items  20 rows  .*live`)
			shows(`id .*amount .*at .*body .*flag .*n `)
			shows(`\+ 3 .*·\[2Jgone`)
			db.Exec("UPDATE items SET body = 'newest' WHERE id = 5; DELETE FROM items WHERE id = 6")
			shows(`~ 5 .*newest`)
			shows(`- 6 `)
			shows(`items  19 rows`)
			if strings.Contains(screen.String(), "\x1b[2Jgone") {
				t.Error("text of the database reaches the terminal as it is")
			}
		}
		p.signal(syscall.SIGINT)
		if code := p.exit(10 * time.Second); code != 0 {
			t.Errorf("%s: exit code %d", format, code)
		}
		if format == "table" {
			shows(`\x1b\[\?25h\x1b\[\?1049l`)
		}
	}
}

// onTerminal gives a process a terminal of its own and returns what it writes
// there.
func onTerminal(t *testing.T, p *process) *logBuffer {
	t.Helper()
	ours, theirs := openTerminal(t)
	p.cmd.Stdout, p.cmd.Stderr = theirs, theirs
	screen := &logBuffer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := bufio.NewReader(ours)
		_, _ = r.WriteTo(screen) // a terminal ends with an error
	}()
	t.Cleanup(func() { theirs.Close(); ours.Close(); <-done })
	return screen
}

// openTerminal makes a pseudo terminal of Linux, 24 lines of 120 characters.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ours.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	var err2 error
	err = conn.Control(func(fd uintptr) {
		if err2 = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err2 != nil {
			return
		}
		if number, err2 = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); err2 != nil {
			return
		}
		err2 = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120})
	})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}
