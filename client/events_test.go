package client

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Event streams, and what they fall back to.
func TestEvents(t *testing.T) {
	end := log("h1", "0_inf", false, upToDate(7))
	poll := log("h1", "9_0", true, upToDate(9)).after(20 * time.Second)
	const sse = " live=true live_sse=true cursor="
	for _, c := range []struct {
		name       string
		answers    []answer
		batches    int
		want, seen string
		at         string // the offset at the end
	}{
		{
			name: "changes",
			answers: []answer{end, eventStream("h1", "0_inf",
				": keep-alive\n\n", event(row("insert", 2, 1, at(9, 0, 910))), event(row("update", 2, 2, at(9, 2, 910))), event(upToDate(9)),
				event(row("update", 2, 3, at(12, 0, 911)))+event(upToDate(12)), "")},
			batches: 3,
			want:    "up-to-date\ninsert 2=1, update 2=2, up-to-date\nupdate 2=3, up-to-date",
			seen:    "offset=-1\noffset=0_inf handle=h1" + sse,
			at:      "12_0",
		},
		{
			name: "the end of a stream, and a place within a transaction",
			answers: []answer{end, eventStream("h1", "0_inf", event(row("insert", 2, 1, at(9, 0, 910))), event(row("insert", 3, 1, at(9, 4, 910))), event(upToDate(9))),
				eventStream("h1", "9_4", event(row("update", 2, 3, at(12, 0, 911))), event(upToDate(12)), "")},
			batches: 3,
			want:    "up-to-date\ninsert 2=1, insert 3=1, up-to-date\nupdate 2=3, up-to-date",
			seen:    "offset=-1\noffset=0_inf handle=h1" + sse + "\noffset=9_4 handle=h1" + sse + "77",
			at:      "12_0",
		},
		{
			name: "half a transaction is not delivered",
			answers: []answer{end, eventStream("h1", "9_4", event(row("insert", 2, 1, at(9, 0, 910))), "data: {\"key"),
				eventStream("h1", "9_4", event(row("insert", 2, 1, at(9, 0, 910))), event(row("insert", 3, 1, at(9, 4, 910))), event(upToDate(9)), "")},
			batches: 2,
			want:    "up-to-date\ninsert 2=1, insert 3=1, up-to-date",
			seen:    "offset=-1\noffset=0_inf handle=h1" + sse + "\noffset=0_inf handle=h1" + sse + "77",
			at:      "9_4",
		},
		{
			name:    "a word of a transaction that was not delivered does not move the place back",
			answers: []answer{end, eventStream("h1", "0_inf", event(upToDate(0)), event(upToDate(0)), "")},
			batches: 3,
			want:    "up-to-date\nup-to-date\nup-to-date",
			seen:    "offset=-1\noffset=0_inf handle=h1" + sse,
			at:      "0_inf",
		},
		{
			name:    "changes that do not say where they stood",
			answers: []answer{end, eventStream("h1", "0_inf", event(row("insert", 2, 1)), event(upToDate(9)), "")},
			batches: 2,
			want:    "up-to-date\ninsert 2=1, up-to-date",
			seen:    "offset=-1\noffset=0_inf handle=h1" + sse,
			at:      "9_0",
		},
		{
			name:    "a server that answers with a poll is polled",
			answers: []answer{end, poll, poll},
			batches: 3,
			want:    "up-to-date\nup-to-date\nup-to-date",
			seen:    "offset=-1\noffset=0_inf handle=h1" + sse + "\noffset=9_0 handle=h1 live=true cursor=77",
			at:      "9_0",
		},
		{
			name:    "a proxy that cuts event streams off",
			answers: []answer{end, eventStream("h1", "0_inf"), eventStream("h1", "0_inf"), eventStream("h1", "0_inf"), poll},
			batches: 2,
			want:    "up-to-date\nup-to-date",
			seen: "offset=-1\noffset=0_inf handle=h1" + sse + strings.Repeat("\noffset=0_inf handle=h1"+sse+"77", 2) +
				"\noffset=0_inf handle=h1 live=true cursor=77",
			at: "9_0",
		},
		{
			name:    "silence",
			answers: []answer{end, eventStream("h1", "0_inf", event(row("insert", 2, 1, at(9, 0, 910))), ""), eventStream("h1", "0_inf", event(upToDate(9)), "")},
			batches: 2,
			want:    "up-to-date\nup-to-date",
			seen:    "offset=-1\noffset=0_inf handle=h1" + sse + "\noffset=0_inf handle=h1" + sse + "77",
			at:      "0_inf",
		},
		{
			name:    "rotation",
			answers: []answer{end, eventStream("h1", "0_inf").after(2 * time.Second), rotated("h2"), log("h2", "0_inf", false, row("insert", 4, 4), upToDate(9))},
			batches: 3,
			want:    "up-to-date\nmust-refetch\ninsert 4=4, up-to-date",
			seen: "offset=-1\noffset=0_inf handle=h1" + sse + "\noffset=0_inf handle=h1" + sse + "77" +
				"\noffset=-1 handle=h2 busted expired=h1",
			at: "0_inf",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answers: c.answers}
				stream := s.stream(Options{SSE: true})
				got := play(s, stream, c.batches)
				if got != c.want {
					t.Errorf("it gives\n%s\nwant\n%s", got, c.want)
				}
				if seen := s.seen(); seen != c.seen {
					t.Errorf("it asks\n%s\nwant\n%s", seen, c.seen)
				}
				if p := stream.Position(); p.Offset != c.at {
					t.Errorf("it is at %s, want %s", p.Offset, c.at)
				}
			})
		})
	}
}
