/** What a browser does not fetch from (WHATWG Fetch, "bad port"). */
const BAD_PORTS = [
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
  111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
  540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
  6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
]

/** Services that trust whoever reaches them, and understand enough of an HTTP request to do harm. Usual ports of web servers are not here. */
const TRUSTING_PORTS: Readonly<Record<string, readonly number[]>> = {
  'remote control': [445, 873, 3389, 5900, 5901, 5985, 5986],
  'SQL databases': [1433, 1434, 1521, 1522, 2483, 2484, 3050, 3306, 5432, 5433, 6432, 26257, 33060, 50000],
  'other databases': [
    5984, 6333, 6379, 6380, 6984, 7199, 7474, 7687, 8086, 8529, 9042, 9160, 9200, 9300, 11211, 16379, 26379, 27017,
    27018, 27019, 28015, 28017, 29015,
  ],
  brokers: [1883, 4222, 4369, 5671, 5672, 6222, 8222, 8883, 9092, 9093, 9094, 15672, 25672, 61613, 61614, 61616],
  orchestration: [2181, 2375, 2376, 2377, 2379, 2380, 2888, 3888, 6443, 8300, 8301, 8500, 8600, 10250, 10255, 10256],
}

const REFUSED: ReadonlySet<number> = new Set([...BAD_PORTS, ...Object.values(TRUSTING_PORTS).flat()])

/** Whether nobody is connected to on this port, unless the operator allows an address with it. */
export function isRefusedPort(port: number): boolean {
  return REFUSED.has(port)
}
