package api

import (
	"errors"
	"net/http/httptest"
	"testing"
)

// A page that could not be read is not kept for those who come later, and whoever waits
// for one whose reader panics reads it himself: nobody takes that for a damaged log.
func TestPageThatFails(t *testing.T) {
	v := &visit{exchange: &exchange{Handler: &Handler{}, r: httptest.NewRequest("GET", "/v1/shape", nil)}}
	k, broken := pageKey{id: 1}, errors.New("the disk")
	if _, err := v.shared(k, func() (*logPage, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	good := func() (*logPage, error) { return &logPage{body: []byte("[]")}, nil }
	if page, err := v.shared(k, good); err != nil || string(page.body) != "[]" {
		t.Errorf("after an error: %v, %v", page, err)
	}
	k.id = 2
	began, follow := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		defer func() { _ = recover() }()
		_, _ = v.shared(k, func() (*logPage, error) {
			close(began)
			<-follow
			panic("in the middle")
		})
	}()
	<-began
	go func() {
		_, err := v.shared(k, good)
		done <- err
	}()
	close(follow)
	if err := <-done; err != nil {
		t.Errorf("behind a panic: %v", err)
	}
}
