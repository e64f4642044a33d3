package aws

import (
	"bytes"
	"context"
	"io"
	"net/http"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"

	"cutoff/server/connector/outgoing"
)

// maxRequest bounds what the SDK may send.
const maxRequest = 64 << 10

// doer sends what the SDK signed through the one way out of this server.
type doer struct{ client *outgoing.Client }

// Do is what the SDK calls.
func (d doer) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxRequest)); err != nil {
			return nil, err
		}
	}
	res, err := d.client.Do(r.Context(), outgoing.Request{Method: r.Method, URL: r.URL, Header: r.Header, Body: body})
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(res.Status), StatusCode: res.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: res.Header, Body: io.NopCloser(bytes.NewReader(res.Body)), ContentLength: int64(len(res.Body)), Request: r,
	}, nil
}

// fixed gives the SDK the one key there is.
func fixed(id, secret string) func(context.Context) (awssdk.Credentials, error) {
	return func(context.Context) (awssdk.Credentials, error) {
		return awssdk.Credentials{AccessKeyID: id, SecretAccessKey: secret, Source: "cutoff"}, nil
	}
}
