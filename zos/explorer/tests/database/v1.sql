BEGIN TRANSACTION;
CREATE TABLE bill (
	block INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	contract_id INTEGER NOT NULL, 
	timestamp INTEGER NOT NULL, 
	amount INTEGER NOT NULL, 
	discount TEXT NOT NULL, 
	PRIMARY KEY (block, position)
);
INSERT INTO "bill" VALUES(1,0,1,1699996400,5000000,'Gold');
INSERT INTO "bill" VALUES(2,0,1,1700000000,20000000,'Gold');
INSERT INTO "bill" VALUES(3,0,2,1700000000,7,'Gold');
CREATE TABLE contract (
	contract_id INTEGER NOT NULL, 
	type TEXT NOT NULL, 
	twin_id INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	created_at INTEGER NOT NULL, 
	grid_version INTEGER NOT NULL, 
	solution_provider_id INTEGER NOT NULL, 
	node_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	deployment_data TEXT NOT NULL, 
	deployment_hash TEXT NOT NULL, 
	number_of_public_ips INTEGER NOT NULL, 
	used_hru INTEGER NOT NULL, 
	used_sru INTEGER NOT NULL, 
	used_cru INTEGER NOT NULL, 
	used_mru INTEGER NOT NULL, 
	PRIMARY KEY (contract_id)
);
INSERT INTO "contract" VALUES(1,'node',1,'Created',1699996400,4,0,1,'','{"version":3,"type":"vm","name":"vm1","projectName":""}','00000000000000000000000000000001',0,0,10737418240,1,2147483648);
INSERT INTO "contract" VALUES(2,'node',2,'GracePeriod',1699996400,4,0,1,'','{"version":3,"type":"vm","name":"vm2","projectName":""}','00000000000000000000000000000002',1,0,10737418240,1,2147483648);
INSERT INTO "contract" VALUES(3,'name',1,'Created',1699996400,4,0,0,'name3','','',0,0,0,0,0);
INSERT INTO "contract" VALUES(4,'rent',3,'Created',1699996400,4,0,2,'','','',0,0,0,0,0);
INSERT INTO "contract" VALUES(5,'node',1,'Deleted',1699996400,4,0,1,'','{"version":3,"type":"vm","name":"vm5","projectName":""}','00000000000000000000000000000005',0,0,10737418240,1,2147483648);
CREATE TABLE cursor (
	id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	genesis TEXT NOT NULL, 
	first TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	hash TEXT NOT NULL, 
	time INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "cursor" VALUES(1,1,'0x00','0x01',100,'0x64',1700000000);
CREATE TABLE farm (
	farm_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	twin_id INTEGER NOT NULL, 
	pricing_policy_id INTEGER NOT NULL, 
	certification TEXT NOT NULL, 
	stellar_address TEXT NOT NULL, 
	dedicated BOOLEAN NOT NULL, 
	grid_version INTEGER NOT NULL, 
	total_ips INTEGER NOT NULL, 
	free_ips INTEGER NOT NULL, 
	PRIMARY KEY (farm_id)
);
INSERT INTO "farm" VALUES(1,'Farm-1','farm-1',1,1,'NotCertified','G0000000000000000000000000000000000000000000000000000001',0,4,4,2);
INSERT INTO "farm" VALUES(2,'50%_Off','50%_off',2,1,'NotCertified','G0000000000000000000000000000000000000000000000000000002',1,4,0,0);
CREATE TABLE farming_policy (
	farming_policy_id INTEGER NOT NULL, 
	grid_version INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	cu INTEGER NOT NULL, 
	su INTEGER NOT NULL, 
	nu INTEGER NOT NULL, 
	ipv4 INTEGER NOT NULL, 
	minimal_uptime INTEGER NOT NULL, 
	policy_created INTEGER NOT NULL, 
	policy_end INTEGER NOT NULL, 
	immutable BOOLEAN NOT NULL, 
	"default" BOOLEAN NOT NULL, 
	node_certification TEXT NOT NULL, 
	farm_certification TEXT NOT NULL, 
	PRIMARY KEY (farming_policy_id)
);
CREATE TABLE gpu (
	node_id INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	vendor TEXT NOT NULL, 
	device TEXT NOT NULL, 
	contract INTEGER NOT NULL, 
	updated_at INTEGER NOT NULL, 
	PRIMARY KEY (node_id, id)
);
INSERT INTO "gpu" VALUES(5,'0000:01:00.0/10de/2684','NVIDIA','RTX 4090',0,1700000000);
INSERT INTO "gpu" VALUES(5,'0000:02:00.0/1002/744c','AMD','Navi 31',9,1700000000);
CREATE TABLE interface (
	node_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	mac TEXT NOT NULL, 
	ips TEXT NOT NULL, 
	PRIMARY KEY (node_id, position)
);
INSERT INTO "interface" VALUES(1,0,'zos','54:b2:03:12:34:56','10.0.0.5,fe80::1');
INSERT INTO "interface" VALUES(2,0,'zos','54:b2:03:12:34:56','10.0.0.5,fe80::1');
INSERT INTO "interface" VALUES(3,0,'zos','54:b2:03:12:34:56','10.0.0.5,fe80::1');
INSERT INTO "interface" VALUES(4,0,'zos','54:b2:03:12:34:56','10.0.0.5,fe80::1');
INSERT INTO "interface" VALUES(5,0,'zos','54:b2:03:12:34:56','10.0.0.5,fe80::1');
CREATE TABLE node (
	node_id INTEGER NOT NULL, 
	updated_at INTEGER NOT NULL, 
	power_state TEXT, 
	power_target TEXT, 
	renter INTEGER NOT NULL, 
	contracts INTEGER NOT NULL, 
	farm_dedicated BOOLEAN NOT NULL, 
	extra_fee INTEGER NOT NULL, 
	free_mru INTEGER NOT NULL, 
	free_sru INTEGER NOT NULL, 
	free_hru INTEGER NOT NULL, 
	free_cru INTEGER NOT NULL, 
	total_cru INTEGER NOT NULL, 
	total_mru INTEGER NOT NULL, 
	total_sru INTEGER NOT NULL, 
	total_hru INTEGER NOT NULL, 
	used_cru INTEGER NOT NULL, 
	used_mru INTEGER NOT NULL, 
	used_sru INTEGER NOT NULL, 
	used_hru INTEGER NOT NULL, 
	price_usd FLOAT NOT NULL, 
	rent_contract_id INTEGER NOT NULL, 
	features INTEGER NOT NULL, 
	healthy BOOLEAN, 
	has_ipv6 BOOLEAN, 
	num_gpu INTEGER NOT NULL, 
	workloads INTEGER NOT NULL, 
	farm_id INTEGER NOT NULL, 
	twin_id INTEGER NOT NULL, 
	certification TEXT NOT NULL, 
	region TEXT NOT NULL, 
	country_key TEXT NOT NULL, 
	city_key TEXT NOT NULL, 
	ipv4 TEXT NOT NULL, 
	ipv6 TEXT NOT NULL, 
	domain TEXT NOT NULL, 
	uptime INTEGER NOT NULL, 
	created INTEGER NOT NULL, 
	country TEXT NOT NULL, 
	city TEXT NOT NULL, 
	longitude TEXT NOT NULL, 
	latitude TEXT NOT NULL, 
	grid_version INTEGER NOT NULL, 
	farming_policy_id INTEGER NOT NULL, 
	connection_price INTEGER NOT NULL, 
	secure BOOLEAN NOT NULL, 
	virtualized BOOLEAN NOT NULL, 
	serial_number TEXT NOT NULL, 
	has_public_config BOOLEAN NOT NULL, 
	gw4 TEXT NOT NULL, 
	gw6 TEXT NOT NULL, 
	PRIMARY KEY (node_id)
);
INSERT INTO "node" VALUES(1,1699999940,NULL,NULL,0,2,0,0,57552561766,1030792151040,0,14,16,68719476736,1073741824000,0,2,11166914970,42949672960,0,133.2,0,0,NULL,NULL,0,0,1,10001,'Diy','Europe','belgium','ghent','185.0.1.9/24','','gw.example.org',500,1699999000,'Belgium','Ghent','3.71','51.05',5,1,80,0,0,'Unknown',1,'185.0.1.1','');
INSERT INTO "node" VALUES(2,1699999940,NULL,NULL,3,0,1,0,61847529062,1052266987520,0,16,16,68719476736,1073741824000,0,0,6871947674,21474836480,0,166.5,4,0,NULL,NULL,0,0,2,10002,'Certified','Africa','egypt','cairo','','','',600,1699999000,'Egypt','Cairo','3.71','51.05',5,1,80,0,0,'Unknown',0,'','');
INSERT INTO "node" VALUES(3,1699999000,'Down','Down',0,0,0,0,61847529062,1052266987520,0,16,16,68719476736,1073741824000,0,0,6871947674,21474836480,0,133.2,0,0,NULL,NULL,0,0,1,10003,'Diy','Americas','united states','reno','','','',700,1699999000,'United States','Reno','3.71','51.05',5,1,80,0,0,'Unknown',0,'','');
INSERT INTO "node" VALUES(4,1699000000,NULL,NULL,0,0,0,5000,61847529062,1052266987520,0,16,16,68719476736,1073741824000,0,0,6871947674,21474836480,0,138.2,0,0,NULL,NULL,0,0,1,10004,'Diy','','nowhere','100%_sure','','','',0,1699000000,'Nowhere','100%_sure','3.71','51.05',5,1,80,0,0,'Unknown',0,'','');
INSERT INTO "node" VALUES(5,1699999940,NULL,NULL,0,0,0,0,61847529062,1052266987520,0,16,16,68719476736,1073741824000,0,0,6871947674,21474836480,0,133.2,0,11776,1,1,2,3,1,10005,'Diy','Asia','türkiye','i̇zmir','','','',800,1699999000,'Türkiye','İzmir','3.71','Unknown',5,1,80,0,0,'Unknown',0,'','');
CREATE TABLE price (
	id INTEGER NOT NULL, 
	price INTEGER NOT NULL, 
	average INTEGER NOT NULL, 
	minimum INTEGER NOT NULL, 
	maximum INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE pricing_policy (
	pricing_policy_id INTEGER NOT NULL, 
	grid_version INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	su INTEGER NOT NULL, 
	cu INTEGER NOT NULL, 
	nu INTEGER NOT NULL, 
	ipu INTEGER NOT NULL, 
	unique_name INTEGER NOT NULL, 
	domain_name INTEGER NOT NULL, 
	su_unit TEXT NOT NULL, 
	cu_unit TEXT NOT NULL, 
	nu_unit TEXT NOT NULL, 
	ipu_unit TEXT NOT NULL, 
	unique_name_unit TEXT NOT NULL, 
	domain_name_unit TEXT NOT NULL, 
	foundation_account TEXT NOT NULL, 
	certified_sales_account TEXT NOT NULL, 
	discount INTEGER NOT NULL, 
	PRIMARY KEY (pricing_policy_id)
);
INSERT INTO "pricing_policy" VALUES(1,1,'prices',50000,100000,15000,40000,2500,5000,'Gigabytes','Gigabytes','Gigabytes','Gigabytes','Gigabytes','Gigabytes','5F','5S',50);
CREATE TABLE public_ip (
	farm_id INTEGER NOT NULL, 
	ip TEXT NOT NULL, 
	gateway TEXT NOT NULL, 
	contract_id INTEGER NOT NULL, 
	PRIMARY KEY (farm_id, ip)
);
INSERT INTO "public_ip" VALUES(1,'185.0.1.2/24','185.0.1.1',100);
INSERT INTO "public_ip" VALUES(1,'185.0.1.3/24','185.0.1.1',0);
INSERT INTO "public_ip" VALUES(1,'185.0.1.4/24','185.0.1.1',102);
INSERT INTO "public_ip" VALUES(1,'185.0.1.5/24','185.0.1.1',0);
CREATE TABLE report (
	node_id INTEGER NOT NULL, 
	bios JSON, 
	baseboard JSON, 
	processor JSON, 
	memory JSON, 
	features JSON, 
	upload FLOAT NOT NULL, 
	download FLOAT NOT NULL, 
	gpu_at INTEGER NOT NULL, 
	health_at INTEGER NOT NULL, 
	dmi_at INTEGER NOT NULL, 
	speed_at INTEGER NOT NULL, 
	ipv6_at INTEGER NOT NULL, 
	workloads_at INTEGER NOT NULL, 
	features_at INTEGER NOT NULL, 
	PRIMARY KEY (node_id)
);
INSERT INTO "report" VALUES(5,'{"vendor": "AMI", "version": "1"}',NULL,NULL,NULL,'["zmachine", "network", "wireguard", "zmachine-light"]',1000000000.0,2000000000.0,0,0,0,0,0,0,1700000000);
CREATE TABLE solution_provider (
	solution_provider_id INTEGER NOT NULL, 
	description TEXT NOT NULL, 
	link TEXT NOT NULL, 
	approved BOOLEAN NOT NULL, 
	providers JSON NOT NULL, 
	PRIMARY KEY (solution_provider_id)
);
CREATE TABLE twin (
	twin_id INTEGER NOT NULL, 
	account_id TEXT NOT NULL, 
	relay TEXT, 
	public_key TEXT, 
	PRIMARY KEY (twin_id)
);
INSERT INTO "twin" VALUES(1,'500000000000000000000000000000000000000000000001','relay.lab',NULL);
INSERT INTO "twin" VALUES(2,'500000000000000000000000000000000000000000000002',NULL,NULL);
INSERT INTO "twin" VALUES(3,'500000000000000000000000000000000000000000000003','relay.lab',NULL);
CREATE INDEX ix_farm_twin_id ON farm (twin_id);
CREATE INDEX ix_farm_total_ips ON farm (total_ips);
CREATE INDEX ix_farm_name_key ON farm (name_key);
CREATE INDEX ix_farm_free_ips ON farm (free_ips);
CREATE INDEX ix_farm_stellar_address ON farm (stellar_address);
CREATE INDEX ix_public_ip_contract_id ON public_ip (contract_id);
CREATE INDEX ix_public_ip_gateway ON public_ip (gateway);
CREATE INDEX ix_public_ip_ip ON public_ip (ip);
CREATE INDEX ix_twin_public_key ON twin (public_key);
CREATE INDEX ix_twin_relay ON twin (relay);
CREATE INDEX ix_twin_account_id ON twin (account_id);
CREATE INDEX ix_node_city_key ON node (city_key);
CREATE INDEX ix_node_farm_id ON node (farm_id);
CREATE INDEX ix_node_renter ON node (renter);
CREATE INDEX ix_node_twin_id ON node (twin_id);
CREATE INDEX ix_node_city ON node (city);
CREATE INDEX ix_node_updated_at ON node (updated_at);
CREATE INDEX ix_node_country_key ON node (country_key);
CREATE INDEX ix_node_country ON node (country);
CREATE INDEX ix_gpu_device ON gpu (device);
CREATE INDEX ix_contract_twin_id_state ON contract (twin_id, state);
CREATE INDEX ix_contract_number_of_public_ips ON contract (number_of_public_ips);
CREATE INDEX ix_contract_node_id_state ON contract (node_id, state);
CREATE INDEX ix_contract_created_at ON contract (created_at);
CREATE INDEX ix_contract_state ON contract (state);
CREATE INDEX ix_contract_type_state ON contract (type, state);
CREATE INDEX ix_contract_deployment_data ON contract (deployment_data);
CREATE INDEX ix_contract_name ON contract (name);
CREATE INDEX ix_contract_deployment_hash ON contract (deployment_hash);
CREATE INDEX ix_bill_contract_id_timestamp ON bill (contract_id, timestamp);
COMMIT;
