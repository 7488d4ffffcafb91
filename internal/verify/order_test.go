package verify

import (
	"encoding/json"
	"strings"
	"testing"
)

// A log is written as: pages between |, each with its messages and the offset that it
// ends at. row, end and up<seen> are what they are; 5_2 is an update there, 5_2l with "last",
// 5_2d with key_change_to, 5_3i with key_change_from.
func checkLog(text string) error {
	o := order{}
	for _, page := range strings.Split(text, "|") {
		words := strings.Fields(page)
		for _, word := range words[:len(words)-1] {
			m := new(message)
			head := `{"operation":"update"`
			switch place := strings.TrimRight(word, "ldix"); {
			case word == "row":
				head = `{"operation":"insert"`
			case word == "end":
				head = `{"control":"snapshot-end","xmax":"9"`
			case strings.HasPrefix(word, "up"):
				head = `{"control":"up-to-date","global_last_seen_lsn":"` + strings.TrimPrefix(word, "up") + `"`
			default:
				tx, op, _ := strings.Cut(place, "_")
				xid := tx
				m.Key = "k"
				for _, flag := range word[len(place):] {
					switch flag {
					case 'l':
						head += `,"last":true`
					case 'd':
						head = strings.Replace(head, "update", "delete", 1) + `,"key_change_to":"n"`
					case 'i':
						m.Key = "n"
						head = strings.Replace(head, "update", "insert", 1) + `,"key_change_from":"k"`
					case 'x':
						xid = "77"
					}
				}
				head += `,"lsn":"` + tx + `","op_position":` + op + `,"txids":[` + xid + `]`
			}
			if err := json.Unmarshal([]byte(`{"headers":`+head+`}}`), m); err != nil {
				return err
			}
			if err := o.next(m); err != nil {
				return err
			}
		}
		if err := o.page(words[len(words)-1]); err != nil {
			return err
		}
	}
	return nil
}

func TestOrder(t *testing.T) {
	for _, log := range []string{
		"row row end 0_0 | up4 0_inf",
		"row 0_0 | row 0_1 | end 0_2 | 0_3 | 5_0 5_2l 7_8l up7 7_8 | up9 7_8 | 9_0 9_0",
		"end 0_0 | 5_0d 5_1il up5 5_1",
		"end 0_0 | 5_0 5_2d 5_2 | 5_3i 5_3 | 5_4l up6 5_4",
	} {
		if err := checkLog(log); err != nil {
			t.Errorf("%s: %v", log, err)
		}
	}
	for log, want := range map[string]string{
		"row end 0_1":                          "begins after",
		"row 0_0 | row 0_2":                    "begins after",
		"end 0_0 | 5_0l up5 5_2":               "begins after",
		"end 0_0 | 5_0l 0_inf":                 "begins after",
		"end 0_0 | up5 0_inf | 0_inf":          "begins after",
		"end 0_0 | up5 0_inf | up5 0_4":        "begins after",
		"row 0_0 | up5 0_inf":                  "without the end of the first rows",
		"end 0_0 | end 0_1":                    "end twice",
		"5_0l 5_0":                             "before the end of the first rows",
		"end row 0_0":                          "has no position",
		"end 0_0 | 5_0 up5 5_0":                "middle of the transaction of 5_0",
		"end 0_0 | 5_0l 5_2l up5 5_2":          "behind the last change",
		"end 0_0 | 5_0 6_0l up5 6_0":           "ends without a last change",
		"end 0_0 | 5_2 5_0l up5 5_0":           "comes after",
		"end 0_0 | 5_2l 5_2 | 5_2l 5_2":        "comes after",
		"end 0_0 | 5_2l 5_2 | 4_8l 4_8":        "comes after",
		"end 0_0 | 5_0 5_2lx up5 5_2":          "has transaction 77",
		"end 0_0 | 5_0d 5_2l up5 5_2":          "halves",
		"end 0_0 | 5_1il up5 5_1":              "halves",
		"end 0_0 | 5_0d 5_2il up5 5_2":         "halves",
		"end 0_0 | 5_0ld up5 5_0":              "first half",
		"end 0_0 | 5_1l up5 5_1":               "odd",
		"end 0_0 | 5_0l up4 5_0":               "it has seen 4",
		"end 0_0 | up9 0_inf | up8 0_inf":      "it has seen 8",
		"end 0_0 | up5 5_0l 5_0":               "follows up-to-date",
		"end 0_0 | up 0_inf":                   "up-to-date message",
		"end 0_0 | 5_0 5_0 | 5_2l up5 5_2 | x": "offset",
	} {
		if err := checkLog(log); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", log, err, want)
		}
	}
}
