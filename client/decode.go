package client

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// decode reads the body of an answer: an array of messages.
func decode(body []byte) ([]Message, error) {
	var batch []Message
	if err := json.Unmarshal(body, &batch); err != nil {
		return nil, fmt.Errorf("the answer is not a list of messages: %w", err)
	}
	return batch, nil
}

// readSchema takes the schema of an answer. Columns may become nullable during
// a log's life, so each one counts.
func (s *ShapeStream) readSchema(h http.Header) error {
	text := h.Get("electric-schema")
	if text == "" || text == "null" { // the table is gone
		return nil
	}
	var schema Schema
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		return fmt.Errorf("%w: its header electric-schema: %w", ErrNotElectric, err)
	}
	s.schema = schema
	return nil
}
