package flow

import "context"

// Authenticate answers the peer whose client certificate was verified as one of
// this trust domain's: deviceID and serial (hex) are the certificate's,
// publicKey its raw Ed25519 key; expired says that its time is over.
func (f *Flow) Authenticate(ctx context.Context, deviceID, serial string, publicKey []byte, expired bool) (Peer, error) {
	return Peer{}, errUnbuilt
}

// Renew issues the device's next certificate, which becomes current at its
// first use. It also answers the roster.
func (f *Flow) Renew(ctx context.Context, peer Peer, csr []byte) (chain [][]byte, roster []byte, err error) {
	return nil, nil, errUnbuilt
}
