"""Workloads with the challenge and hash that every implementation must get (K = the 32 bytes 00..1f)."""

from __future__ import annotations

from typing import Any

K = bytes(range(32)).hex()
FLIST = "https://hub.grid.tf/tf-official-apps/base:latest.flist"
GiB = 1024**3

# (type, name, data, challenge after the text, md5)
WORKLOADS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("zmount", "disk1", {"size": 10 * GiB}, "0disk1zmount10737418240", "d1955b098acf1ca1273206e716cf0098"),
    ("volume", "vol1", {"size": 5 * GiB}, "0vol1volume5368709120", "7a12e223a5102cf397bd4e63da739259"),
    (
        "zdb",
        "db1",
        {"size": 20 * GiB, "mode": "seq", "password": "secret", "public": False},
        "0db1zdb21474836480seqsecretfalse",
        "728aac4cc561880a131d238dc9489c1f",
    ),
    ("ipv4", "ip4", {}, "0ip4ipv4", "67a481aaceeafae3121c18d5ddc5b2d6"),
    ("ip", "ip1", {"v4": True, "v6": False}, "0ip1iptruefalse", "f4e870ef709c681e9e5a98f17424c125"),
    (
        "network",
        "net1",
        {
            "ip_range": "10.20.0.0/16",
            "subnet": "10.20.2.0/24",
            "wireguard_private_key": "cHJpdmF0ZQ==",
            "wireguard_listen_port": 3011,
            "peers": [
                {
                    "subnet": "10.20.3.0/24",
                    "wireguard_public_key": "cHVibGlj",
                    "allowed_ips": ["10.20.3.0/24", "100.64.20.3/32"],
                    "endpoint": "185.69.166.1:3022",
                }
            ],
            "mycelium": {"hex_key": K, "peers": []},
        },
        "0net1network10.20.0.0/1610.20.2.0/24cHJpdmF0ZQ==3011cHVibGlj185.69.166.1:302210.20.3.0/2410.20.3.0/24"
        "100.64.20.3/32" + K,
        "ca68185413dcc51bbb74cf31198d3f6a",
    ),
    (
        "network-light",
        "netl",
        {"subnet": "10.30.2.0/24", "mycelium": {"hex_key": K}},
        "0netlnetwork-light<nil>10.30.2.0/240" + K,
        "f7b1a9d968daf34a9b2347cf3c8e3f77",
    ),
    (
        "network-light",
        "netl2",
        {
            "ip_range": "10.30.0.0/16",
            "subnet": "10.30.2.0/24",
            "wireguard_private_key": "cHJpdmF0ZQ==",
            "wireguard_listen_port": 3012,
            "mycelium": {"hex_key": K},
        },
        "0netl2network-light10.30.0.0/1610.30.2.0/24cHJpdmF0ZQ==3012" + K,
        "e8c7e749451884460e86aaa7631c1e0a",
    ),
    (
        "zmachine",
        "vm1",
        {
            "flist": FLIST,
            "network": {
                "public_ip": "ip1",
                "planetary": True,
                "interfaces": [{"network": "net1", "ip": "10.20.2.5"}],
                "mycelium": {"Network": "net1", "hex_seed": "0a0b0c0d0e0f"},
            },
            "size": 0,
            "compute_capacity": {"cpu": 2, "memory": 2 * GiB},
            "mounts": [{"name": "disk1", "mountpoint": "/data"}],
            "entrypoint": "/sbin/zinit init",
            "env": {"SSH_KEY": "ssh-ed25519 AAAA", "A": "1"},
            "gpu": ["0000:28:00.0/1002/731f"],
        },
        f"0vm1zmachine{FLIST}ip1truenet110.20.2.5net10a0b0c0d0e0f022147483648disk1/data/sbin/zinit init"
        "A=1SSH_KEY=ssh-ed25519 AAAA0000:28:00.0/1002/731f",
        "070781d00ad6d6fba99a9300cd3c434e",
    ),
    (
        "zmachine-light",
        "vml",
        {
            "flist": FLIST,
            "network": {
                "interfaces": [{"network": "netl", "ip": "10.30.2.5"}],
                "mycelium": {"network": "netl", "hex_seed": "0a0b0c0d0e0f"},
            },
            "size": 0,
            "compute_capacity": {"cpu": 1, "memory": 512 * 1024**2},
        },
        f"0vmlzmachine-light{FLIST}netl10.30.2.5netl0a0b0c0d0e0f01536870912",
        "3da5926cc2a87c8667dacebe3b11849c",
    ),
    (
        "gateway-name-proxy",
        "gw1",
        {"name": "myapp", "tls_passthrough": False, "backends": ["http://10.20.2.5:8080"], "network": "net1"},
        "0gw1gateway-name-proxymyappfalsehttp://10.20.2.5:8080net1",
        "bf15748b93b2f727178d2155604ae224",
    ),
    (
        "gateway-fqdn-proxy",
        "gw2",
        {"fqdn": "app.example.com", "tls_passthrough": True, "backends": ["185.69.166.2:443"]},
        "0gw2gateway-fqdn-proxyapp.example.comtrue185.69.166.2:443",
        "f3e42a265ffd9987e7ee8ebd2757e6eb",
    ),
    (
        "zlogs",
        "log1",
        {"zmachine": "vm1", "output": "redis://10.20.2.9/logs"},
        "0log1zlogsvm1redis://10.20.2.9/logs",
        "5265973feb48354ffa7b5f42e6050ebd",
    ),
    (
        "qsfs",
        "qs1",
        {
            "cache": GiB,
            "config": {
                "minimal_shards": 2,
                "expected_shards": 4,
                "redundant_groups": 1,
                "redundant_nodes": 1,
                "max_zdb_data_dir_size": 512,
                "encryption": {"algorithm": "AES", "key": K.upper()},
                "meta": {
                    "type": "zdb",
                    "config": {
                        "prefix": "p1",
                        "encryption": {"algorithm": "AES", "key": K},
                        "backends": [{"address": "[300::1]:9900", "namespace": "ns-m", "password": "pm"}],
                    },
                },
                "groups": [{"backends": [{"address": "[300::2]:9900", "namespace": "ns-d", "password": "pd"}]}],
                "compression": {"algorithm": "snappy"},
            },
        },
        f"0qs1qsfs10737418242411512AES{K}zdbp1AES{K}[300::1]:9900ns-mpm[300::2]:9900ns-dpdsnappy",
        "6f585948d8509544d22913fe9311ab44",
    ),
    (
        "gateway-name-proxy",
        "name",
        {"name": "name", "tls_passthrough": True, "backends": ["1.1.1.1:10"]},
        "0namegateway-name-proxynametrue1.1.1.1:10",
        "a93e07af0410cac1ac08e11737f9f644",
    ),
]


def deployment(style: str = "", version: int = 0, disk: tuple[int, int] = (0, 10 * GiB)) -> dict[str, Any]:
    """The worked example of a whole deployment; `disk` is version and size of its zmount."""

    def workload(name: str, kind: str, data: dict[str, Any], at: int = 0) -> dict[str, Any]:
        return {"version": at, "name": name, "type": kind, "data": data, "metadata": "", "description": ""}

    network = {
        "ip_range": "10.20.0.0/16",
        "subnet": "10.20.2.0/24",
        "wireguard_private_key": "cHJpdmF0ZQ==",
        "wireguard_listen_port": 3011,
        "peers": [],
    }
    machine = {
        "flist": FLIST,
        "network": {
            "public_ip": "",
            "planetary": False,
            "interfaces": [{"network": "net1", "ip": "10.20.2.5"}],
        },
        "size": 0,
        "compute_capacity": {"cpu": 2, "memory": 2 * GiB},
        "mounts": [{"name": "disk1", "mountpoint": "/data"}],
        "entrypoint": "/sbin/zinit init",
        "env": {"SSH_KEY": "ssh-ed25519 AAAA"},
    }
    return {
        "version": version,
        "twin_id": 26,
        "contract_id": 1234,
        "metadata": '{"version":3,"type":"vm","name":"demo","projectName":"vm/demo"}',
        "description": "demo deployment",
        "expiration": 0,
        "signature_requirement": {
            "requests": [{"twin_id": 26, "required": False, "weight": 1}],
            "weight_required": 1,
            "signatures": [],
            "signature_style": style,
        },
        "workloads": [
            workload("net1", "network", network),
            workload("disk1", "zmount", {"size": disk[1]}, disk[0]),
            workload("vm1", "zmachine", machine),
        ],
    }


def client(*workloads: tuple[str, str, dict[str, Any], str], **top: Any) -> dict[str, Any]:
    """A deployment as the TypeScript client sends it: (name, type, data, metadata) each."""
    return {
        "version": 0,
        "twin_id": 1,
        "metadata": "",
        "description": "",
        "expiration": 0,
        "workloads": [
            {"version": 0, "name": name, "type": kind, "data": data, "metadata": metadata, "description": ""}
            for name, kind, data, metadata in workloads
        ],
        "signature_requirement": {"requests": [{"twin_id": 1, "required": False, "weight": 1}], "weight_required": 1},
        **top,
    }


OLD_DATE = 1626394539
"""The expiration that it always sends with 0-db and gateways."""
WEB = ["http://10.1.0.5:80"]

# (what it is, deployment, md5 that the client computed)
CLIENTS: list[tuple[str, dict[str, Any], str]] = [
    (
        "machine and disk",
        client(
            ("vm1disk", "zmount", {"__type": "zmount", "size": GiB}, ""),
            (
                "vm1",
                "zmachine",
                {
                    "__type": "zmachine",
                    "flist": FLIST,
                    "network": {
                        "public_ip": "",
                        "planetary": False,
                        "interfaces": [{"network": "labnet", "ip": "10.249.2.2"}],
                        "mycelium": {"network": "labnet", "hex_seed": "000002000002"},
                    },
                    "size": 524288000,
                    "compute_capacity": {"cpu": 1, "memory": GiB},
                    "mounts": [{"name": "vm1disk", "mountpoint": "/data"}],
                    "entrypoint": "/sbin/zinit init",
                    "env": {"SSH_KEY": "ssh-ed25519 AAAA lab"},
                    "corex": False,
                    "gpu": [],
                },
                "",
            ),
        ),
        "bd7c19edfece331d80a461e14e7784da",
    ),
    (
        "network",
        client(
            (
                "labnet",
                "network",
                {
                    "ip_range": "10.249.0.0/16",
                    "subnet": "10.249.2.0/24",
                    "wireguard_private_key": "AAAA",
                    "wireguard_listen_port": 7276,
                    "peers": [
                        {
                            "subnet": "10.249.3.0/24",
                            "wireguard_public_key": "BBBB",
                            "allowed_ips": ["10.249.3.0/24", "100.64.249.3/32"],
                            "endpoint": "",
                        }
                    ],
                    "mycelium": {"hex_key": "aa" * 32, "peers": []},
                    "node_id": 1,
                },
                '{"version":3,"user_accesses":[]}',
            ),
            metadata='{"version":3,"type":"network","name":"labnet","projectName":""}',
        ),
        "4b85d277e847ed0562da7bb9e4c9e455",
    ),
    (
        "network-light without wireguard",
        client(
            (
                "labnet",
                "network-light",
                {"ip_range": "10.249.0.0/16", "subnet": "10.249.2.0/24", "mycelium": {"hex_key": "aa" * 32}},
                '{"version":4}',
            )
        ),
        "44205286a2652a457516b9599dcd7daa",
    ),
    (
        "zdb",
        client(
            ("zdb1", "zdb", {"size": GiB, "mode": "seq", "password": "secret", "public": False}, ""),
            expiration=OLD_DATE,
        ),
        "edd5cdc2963da89e47993518ab0a0ca3",
    ),
    (
        "gateway by domain",
        client(
            (
                "labfqdn",
                "gateway-fqdn-proxy",
                {"fqdn": "site.lab", "tls_passthrough": False, "backends": WEB},
                "",
            ),
            expiration=OLD_DATE,
        ),
        "ccbca23f1f8abeaa13a6edd079dd0041",
    ),
    (
        "gateway by name",
        client(
            ("labname", "gateway-name-proxy", {"name": "labname", "tls_passthrough": False, "backends": WEB}, ""),
            expiration=OLD_DATE,
        ),
        "63cb2425a19131ae74d3548b114e8358",
    ),
    ("public address", client(("pub", "ip", {"v4": True, "v6": False}, "")), "2bd8f6f1efd71fcfdeddc47019e31499"),
    (
        "log stream",
        client(("logs", "zlogs", {"zmachine": "vm1", "output": "redis://x"}, "")),
        "d1b1e7638b832fc607859e0ee394bdfd",
    ),
]
