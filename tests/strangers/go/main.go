// The CloudEvents SDK for Go as a stranger: see tests/strangers/sdks.py for what it reads and prints.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
)

type asked struct {
	N          int
	Mode       string
	Attributes map[string]string
	Extensions map[string]any
	Kind       string
	Data       []byte
}

var lock sync.Mutex

func say(document any) {
	line, err := json.Marshal(document)
	must(err)
	lock.Lock()
	defer lock.Unlock()
	fmt.Println(string(line))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func write(a asked) event.Event {
	e := event.New()
	e.SetID(a.Attributes["id"])
	e.SetSource(a.Attributes["source"])
	e.SetType(a.Attributes["type"])
	if subject, ok := a.Attributes["subject"]; ok {
		e.SetSubject(subject)
	}
	if schema, ok := a.Attributes["dataschema"]; ok {
		e.SetDataSchema(schema)
	}
	if contentType, ok := a.Attributes["datacontenttype"]; ok {
		e.SetDataContentType(contentType)
	}
	if text, ok := a.Attributes["time"]; ok {
		at, err := time.Parse(time.RFC3339Nano, text)
		must(err)
		e.SetTime(at)
	}
	for name, value := range a.Extensions {
		if number, ok := value.(float64); ok {
			value = int32(number)
		}
		e.SetExtension(name, value)
	}
	if a.Kind != "none" {
		e.DataEncoded = a.Data
		e.DataBase64 = a.Kind == "bytes"
	}
	must(e.Validate())
	return e
}

func send(url string) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a asked
		must(json.Unmarshal(lines.Bytes(), &a))
		e := write(a)
		ctx := binding.WithForceBinary(context.Background())
		if a.Mode == "structured" {
			ctx = binding.WithForceStructured(context.Background())
		}
		request, err := http.NewRequest("POST", url, nil)
		must(err)
		must(cehttp.WriteRequest(ctx, binding.ToMessage(&e), request))
		body := []byte{}
		if request.Body != nil {
			body, err = io.ReadAll(request.Body)
			must(err)
		}
		headers := map[string]string{}
		for name, values := range request.Header {
			headers[name] = values[0]
		}
		status, answer := http.StatusServiceUnavailable, []byte{}
		for status == http.StatusServiceUnavailable { // the broker asks to come again
			request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			response, err := http.DefaultClient.Do(request)
			must(err)
			answer, err = io.ReadAll(response.Body)
			must(err)
			response.Body.Close()
			if status = response.StatusCode; status == http.StatusServiceUnavailable {
				time.Sleep(200 * time.Millisecond)
			}
		}
		say(map[string]any{"n": a.N, "status": status, "answer": string(answer), "headers": headers, "body": body})
	}
}

func read(request *http.Request, body []byte) map[string]any {
	request.Body = io.NopCloser(bytes.NewReader(body))
	e, err := binding.ToEvent(context.Background(), cehttp.NewMessageFromHttpRequest(request))
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	attributes := map[string]string{"specversion": e.SpecVersion(), "id": e.ID(), "source": e.Source(), "type": e.Type()}
	for name, value := range map[string]string{
		"subject": e.Subject(), "dataschema": e.DataSchema(), "datacontenttype": e.DataContentType(),
	} {
		if value != "" {
			attributes[name] = value
		}
	}
	if !e.Time().IsZero() {
		attributes["time"] = types.FormatTime(e.Time())
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		must(err)
		attributes[name] = text
	}
	if !bytes.Equal(e.Data(), body) {
		return map[string]any{"error": "the event's data is not the body"}
	}
	return map[string]any{"attributes": attributes}
}

func receive(host string) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	must(err)
	say(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	go http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		must(err)
		got := read(request, body)
		got["no"] = request.Header.Get("ce-strangerno")
		got["data"] = base64.StdEncoding.EncodeToString(body)
		say(got)
		response.WriteHeader(http.StatusNoContent)
	}))
	io.Copy(io.Discard, os.Stdin)
}

func main() {
	if strings.EqualFold(os.Args[1], "send") {
		send(os.Args[2])
	} else {
		receive(os.Args[2])
	}
}
