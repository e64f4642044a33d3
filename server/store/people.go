package store

import (
	"context"
	"database/sql"

	"cutoff/server/person"
)

// InsertPerson adds a person with its accounts.
func (t *Tx) InsertPerson(ctx context.Context, p person.Person) error {
	if _, err := t.tx.ExecContext(ctx, `INSERT INTO people (id, email, name, created_at) VALUES ($1, $2, $3, $4)`,
		p.ID, p.Email, p.Name, micros(p.CreatedAt)); err != nil {
		return wrap(err)
	}
	return t.insertAccounts(ctx, p)
}

// UpdatePerson replaces the name and the accounts.
func (t *Tx) UpdatePerson(ctx context.Context, p person.Person) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE people SET name = $1 WHERE id = $2`, p.Name, p.ID)
	if err := changed(res, err, "person"); err != nil {
		return err
	}
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM accounts WHERE person_id = $1`, p.ID); err != nil {
		return wrap(err)
	}
	return t.insertAccounts(ctx, p)
}

func (t *Tx) insertAccounts(ctx context.Context, p person.Person) error {
	for _, a := range p.Accounts {
		if _, err := t.tx.ExecContext(ctx, `INSERT INTO accounts (person_id, connector, account) VALUES ($1, $2, $3)`,
			p.ID, a.Connector, a.Account); err != nil {
			return wrap(err)
		}
	}
	return nil
}

// Person reads one by id.
func (t *Tx) Person(ctx context.Context, id string) (person.Person, error) {
	return t.person(ctx, `SELECT id, email, name, created_at FROM people WHERE id = $1`, id)
}

// PersonByEmail reads one by e-mail address (lower case).
func (t *Tx) PersonByEmail(ctx context.Context, email string) (person.Person, error) {
	return t.person(ctx, `SELECT id, email, name, created_at FROM people WHERE email = $1`, email)
}

func (t *Tx) person(ctx context.Context, query, key string) (person.Person, error) {
	var p person.Person
	var created sql.NullInt64
	err := t.tx.QueryRowContext(ctx, query, key).Scan(&p.ID, &p.Email, &p.Name, &created)
	if err != nil {
		return person.Person{}, found(err, "person")
	}
	p.CreatedAt = timeOf(created)
	accounts, err := t.accounts(ctx, `SELECT person_id, connector, account FROM accounts WHERE person_id = $1
		ORDER BY connector, account`, p.ID)
	p.Accounts = accounts[p.ID]
	return p, err
}

// People are all, by e-mail address.
func (t *Tx) People(ctx context.Context) ([]person.Person, error) {
	accounts, err := t.accounts(ctx, `SELECT person_id, connector, account FROM accounts
		ORDER BY person_id, connector, account`)
	if err != nil {
		return nil, err
	}
	rows, err := t.tx.QueryContext(ctx, `SELECT id, email, name, created_at FROM people ORDER BY email`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []person.Person
	for rows.Next() {
		var p person.Person
		var created sql.NullInt64
		if err := rows.Scan(&p.ID, &p.Email, &p.Name, &created); err != nil {
			return nil, wrap(err)
		}
		p.CreatedAt, p.Accounts = timeOf(created), accounts[p.ID]
		all = append(all, p)
	}
	return all, wrap(rows.Err())
}

func (t *Tx) accounts(ctx context.Context, query string, args ...any) (map[string][]person.Account, error) {
	rows, err := t.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string][]person.Account{}
	for rows.Next() {
		var id string
		var a person.Account
		if err := rows.Scan(&id, &a.Connector, &a.Account); err != nil {
			return nil, wrap(err)
		}
		all[id] = append(all[id], a)
	}
	return all, wrap(rows.Err())
}
