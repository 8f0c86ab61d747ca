# A machine with a disk on a node that the grid proxy finds, in a network with WireGuard access for you, by Terraform.
#
#   terraform init                                  # before the lab's certificates replace the public ones
#   eval "$(zos lab env)"
#   TF_VAR_words="$(cat me.key)" terraform apply    # an account with 2 TFT and more, and a twin
#   terraform output -raw wireguard > wg0.conf
#
# `solution_type` and the machine's `node` are what the provider reads back: without them each plan wants to change them.
# The addresses are a lab's. Without the three of them it is the public development network.
terraform {
  required_providers {
    grid = { source = "threefoldtech/grid" }
  }
}

variable "words" { sensitive = true }
variable "flist" { default = "http://198.51.100.11:8080/demo/web.fl" }

provider "grid" {
  network       = "dev"
  mnemonic      = var.words
  substrate_url = "wss://198.51.100.10"
  relay_url     = "wss://198.51.100.12"
  proxy_url     = "https://198.51.100.13"
}

resource "grid_scheduler" "nodes" {
  requests {
    name          = "node"
    cru           = 1
    mru           = 256
    sru           = 2048
    yggdrasil     = false
    wireguard     = true
    public_config = true
  }
}

resource "grid_network" "net" {
  name          = "net"
  solution_type = "vm/mine"
  nodes         = [grid_scheduler.nodes.nodes["node"]]
  ip_range      = "10.30.0.0/16"
  add_wg_access = true
}

resource "grid_deployment" "mine" {
  name          = "mine"
  solution_type = "vm/mine"
  node          = grid_scheduler.nodes.nodes["node"]
  network_name  = grid_network.net.name
  disks {
    name = "data"
    size = 1
  }
  vms {
    name        = "vm1"
    node        = grid_scheduler.nodes.nodes["node"]
    flist       = var.flist
    entrypoint  = "/sbin/web"
    cpu         = 1
    memory      = 256
    rootfs_size = 1024
    mounts {
      name        = "data"
      mount_point = "/data"
    }
  }
}

output "address" { value = grid_deployment.mine.vms[0].ip }
output "wireguard" { value = grid_network.net.access_wg_config }
