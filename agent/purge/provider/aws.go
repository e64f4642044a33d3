package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signAWS signs a request to STS by Signature Version 4, at the wall clock's
// time: AWS refuses one that is more than a few minutes off.
func signAWS(ctx context.Context, request *http.Request, body []byte, values map[string]string) error {
	sum := sha256.Sum256(body)
	keys := aws.Credentials{AccessKeyID: values["key"], SecretAccessKey: values["token"], SessionToken: values["session"]}
	return v4.NewSigner().SignHTTP(ctx, keys, request, hex.EncodeToString(sum[:]), "sts", "us-east-1", time.Now())
}
