package engine

import (
	"testing"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
