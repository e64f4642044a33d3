package flow

import "context"

// GrantLease answers a lease's envelope for nonce, or why there is none.
func (f *Flow) GrantLease(ctx context.Context, peer Peer, nonce []byte) (envelope []byte, refused string, err error) {
	return nil, "", errUnbuilt
}
