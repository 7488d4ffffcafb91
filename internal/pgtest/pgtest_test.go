package pgtest

import (
	"testing"
)

// There is no TestMain on purpose: the server must end without it.

func TestDatabaseOfItsOwn(t *testing.T) {
	for range 2 {
		db := New(t)
		db.Exec("create table t (id int primary key); insert into t values (1)")
		db.Exec("insert into t values ($1)", 2)
		if got := db.Value("select sum(id) from t"); got != "3" {
			t.Errorf("sum is %s", got)
		}
	}
}

func TestDropsSlotsAndPreparedTransactions(t *testing.T) {
	var name string
	var left *DB
	t.Run("leave", func(t *testing.T) {
		left = New(t)
		name = left.Name
		left.Exec("create table t (id int)")
		left.Value("select pg_create_logical_replication_slot('left_behind', 'pgoutput') is not null")
		left.Exec("begin; insert into t values (1); prepare transaction 'left_behind'")
	})
	db := New(t)
	if got := db.Value("select count(*) from pg_database where datname = '" + name + "'"); got != "0" {
		t.Errorf("database %s is still there", name)
	}
	if got := db.Value("select count(*) from pg_replication_slots"); got != "0" {
		t.Errorf("%s slots are still there", got)
	}
}

func TestSettings(t *testing.T) {
	db := New(t, Options{Settings: map[string]string{"TimeZone": "Asia/Tokyo"}})
	if got := db.Value("show TimeZone"); got != "Asia/Tokyo" {
		t.Errorf("TimeZone is %s", got)
	}
}

func TestKilledServerComesBack(t *testing.T) {
	db := NewServer(t, Options{Settings: map[string]string{"wal_sender_timeout": "2s"}})
	db.Exec("create table t (id int); insert into t values (7)")
	db.Exec("checkpoint")
	if err := db.Server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := db.Try("select 1"); err == nil {
		t.Error("a killed server answered")
	}
	if err := db.Server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := db.Value("select id from t"); got != "7" {
		t.Errorf("id is %s", got)
	}
}
