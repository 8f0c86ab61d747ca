// The grid's Go SDK on a relay: `rmb serve|call CHAIN RELAY SEED KIND SESSION ENCRYPT [TWIN COMMAND BODY]`. `serve` says
// "ready" and answers test.echo; `call` prints the answer, or "error: …". Built inside rmb-sdk-go's module.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	substrate "github.com/threefoldtech/tfchain/clients/tfchain-client-go"
	"github.com/threefoldtech/tfgrid-sdk-go/rmb-sdk-go/peer"
)

func main() {
	arguments := os.Args[1:]
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
	defer cancel()
	options := []peer.PeerOpt{
		peer.WithRelay(arguments[2]), peer.WithKeyType(arguments[4]),
		peer.WithSession(arguments[5]), peer.WithEncryption(arguments[6] == "yes"),
	}
	chain := substrate.NewManager(arguments[1])
	if arguments[0] == "serve" {
		serve(ctx, arguments[3], chain, options)
		return
	}
	client, err := peer.NewRpcClient(ctx, arguments[3], chain, options...)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	twin, _ := strconv.ParseUint(arguments[7], 10, 32)
	var answer json.RawMessage
	short, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	if err := client.Call(short, uint32(twin), arguments[8], json.RawMessage(arguments[9]), &answer); err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Println(string(answer))
}

func serve(ctx context.Context, seed string, chain substrate.Manager, options []peer.PeerOpt) {
	router := peer.NewRouter()
	test := router.SubRoute("test")
	test.WithHandler("echo", func(_ context.Context, payload []byte) (interface{}, error) {
		return json.RawMessage(payload), nil
	})
	test.WithHandler("fail", func(context.Context, []byte) (interface{}, error) {
		return nil, errors.New("as asked")
	})
	if _, err := peer.NewPeer(ctx, seed, chain, router.Serve, options...); err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Println("ready")
	<-ctx.Done()
}
