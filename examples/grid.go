// A machine in a network with WireGuard access for you, by the public Go client (tfgrid-sdk-go/grid-client, October 2024).
//
//	eval "$(zos lab env)"
//	MNEMONIC=$(cat me.key) go run grid.go    # an account with 2 TFT and more, and a twin
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/threefoldtech/tfgrid-sdk-go/grid-client/deployer"
	"github.com/threefoldtech/tfgrid-sdk-go/grid-client/workloads"
	"github.com/threefoldtech/tfgrid-sdk-go/grid-client/zos"
	proxy "github.com/threefoldtech/tfgrid-sdk-go/grid-proxy/pkg/types"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ctx := context.Background()
	// It takes nothing but TLS, and believes SSL_CERT_FILE.
	client, err := deployer.NewTFPluginClient(os.Getenv("MNEMONIC"),
		deployer.WithNetwork("dev"),
		deployer.WithSubstrateURL(os.Getenv("SUBSTRATE_TLS_URL")),
		deployer.WithRelayURL(os.Getenv("RELAY_URL")),
		deployer.WithProxyURL(os.Getenv("PROXY_TLS_URL")),
		deployer.WithGraphQlURL(os.Getenv("PROXY_TLS_URL")+"/graphql"),
	)
	must(err)
	defer client.Close()

	free, yes := uint64(2<<30), true
	wanted := proxy.NodeFilter{Status: []string{"up"}, IPv4: &yes, FreeSRU: &free}
	found, err := deployer.FilterNodes(ctx, client, wanted, nil, nil, []uint64{1 << 30}, 1)
	must(err)
	node := uint32(found[0].NodeID)

	network := workloads.ZNet{
		Name:        "net",
		Nodes:       []uint32{node},
		IPRange:     zos.IPNet{IPNet: net.IPNet{IP: net.IPv4(10, 20, 0, 0), Mask: net.CIDRMask(16, 32)}},
		AddWGAccess: true,
	}
	must(client.NetworkDeployer.Deploy(ctx, &network))
	vm := workloads.VM{
		Name: "vm1", NodeID: node, NetworkName: network.Name, Flist: os.Getenv("FLIST"), Entrypoint: "/sbin/web",
		CPU: 1, MemoryMB: 256, RootfsSizeMB: 1024,
	}
	mine := workloads.NewDeployment("mine", node, "", nil, network.Name, nil, nil, []workloads.VM{vm}, nil, nil, nil)
	must(client.DeploymentDeployer.Deploy(ctx, &mine))

	vm, err = client.State.LoadVMFromGrid(ctx, node, "vm1", mine.Name)
	must(err)
	must(os.WriteFile("wg0.conf", []byte(network.AccessWGConfig), 0o600))
	fmt.Println(vm.IP)
	// client.DeploymentDeployer.Cancel(ctx, &mine) and client.NetworkDeployer.Cancel(ctx, &network) take it away.
}
