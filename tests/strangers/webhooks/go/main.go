// The Standard Webhooks library for Go as a stranger: see tests/strangers/verifiers.py for what it reads and prints.
package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type asked struct {
	Secret  string
	Headers map[string]string
	Body    []byte
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The standard library's ed25519: the library knows only v1.
func verified(a asked) bool {
	key := must(base64.StdEncoding.DecodeString(strings.TrimPrefix(a.Secret, "whpk_")))
	text := append([]byte(a.Headers["webhook-id"]+"."+a.Headers["webhook-timestamp"]+"."), a.Body...)
	for _, one := range strings.Split(a.Headers["webhook-signature"], " ") {
		if encoded, found := strings.CutPrefix(one, "v1a,"); found {
			signature, err := base64.StdEncoding.DecodeString(encoded)
			if err == nil && ed25519.Verify(key, text, signature) {
				return true
			}
		}
	}
	return false
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var a asked
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			panic(err)
		}
		valid, signed := false, ""
		if strings.HasPrefix(a.Secret, "whpk_") {
			valid = verified(a)
		} else {
			headers := http.Header{}
			for name, value := range a.Headers {
				headers.Set(name, value)
			}
			library := must(webhooks.NewWebhook(a.Secret))
			valid = library.Verify(a.Body, headers) == nil
			seconds := must(strconv.ParseInt(a.Headers["webhook-timestamp"], 10, 64))
			signed = must(library.Sign(a.Headers["webhook-id"], time.Unix(seconds, 0), a.Body))
		}
		fmt.Println(string(must(json.Marshal(map[string]any{"valid": valid, "signed": signed}))))
	}
}
