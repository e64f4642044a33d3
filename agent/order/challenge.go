package order

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

// Validity is how long, on the boot clock, an order may answer a challenge.
const Validity = 15 * time.Minute

// challengeSize is the length of a challenge, in bytes.
const challengeSize = 32

// kept bounds the challenges remembered: those drawn in the last quarter of an
// hour, at one each ten minutes and one after each order, with room.
const kept = 64

// Challenges are what this process drew for orders to answer, each for one
// order. They are in memory only: what an earlier process drew is stale. Safe
// for use by several goroutines.
type Challenges struct {
	mu    sync.Mutex
	drawn []challenge
}

type challenge struct {
	value []byte
	boot  time.Duration
	used  bool
}

// Draw makes a fresh challenge at the boot clock's reading.
func (c *Challenges) Draw(boot time.Duration) ([]byte, error) {
	value := make([]byte, challengeSize)
	if _, err := rand.Read(value); err != nil {
		return nil, fmt.Errorf("draw challenge: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.drawn) >= kept {
		c.drawn = append(c.drawn[:0], c.drawn[1:]...)
	}
	c.drawn = append(c.drawn, challenge{value: bytes.Clone(value), boot: boot})
	return value, nil
}

// use spends the challenge or says why it cannot be.
func (c *Challenges) use(value []byte, boot time.Duration) *Refused {
	if c == nil {
		return refuse(Stale, "no challenge was drawn")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.drawn {
		d := &c.drawn[i]
		if !bytes.Equal(d.value, value) {
			continue
		}
		switch age := boot - d.boot; {
		case d.used:
			return refuse(Replayed, "its challenge has been answered")
		case age < 0 || age > Validity:
			return refuse(Stale, "its challenge is older than 15 minutes")
		}
		d.used = true
		return nil
	}
	return refuse(Stale, "this agent did not draw its challenge")
}
