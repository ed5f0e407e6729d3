"""A broker that asks who is there: TLS, certificates of clients, SASL with PLAIN and SCRAM, passed on by `properties.*`."""

import os
import subprocess

from confluent_kafka.admin import (AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)

from client import Kafka, fails, rows, table
from support import Broker, check, free_port

PASSWORD = "a-secret"


def openssl(folder, *args):
    """Runs openssl in a folder."""
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


def certificates(folder):
    """An authority, and certificates of a broker and of a client."""
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", "ca.key", "-out", "ca.pem")
    with open(os.path.join(folder, "names"), "w") as names:
        names.write("subjectAltName=IP:127.0.0.1\n")
    for name in ("broker", "client"):
        openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", "names", "-out", f"{name}.pem")
        openssl(folder, "pkcs12", "-export", "-in", f"{name}.pem", "-inkey", f"{name}.key", "-certfile", "ca.pem",
                "-passout", f"pass:{PASSWORD}", "-out", f"{name}.p12")


def properties(folder, ports):
    """Of a broker that listens in four ways."""
    module = "org.apache.kafka.common.security"
    plain = f'{module}.plain.PlainLoginModule required user_alice="{PASSWORD}";'
    scram = f"{module}.scram.ScramLoginModule required;"
    names = ("PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL")
    outside = ",".join(f"{name}://127.0.0.1:{ports[name]}" for name in names)
    lines = [
        f"controller.quorum.voters=1@127.0.0.1:{ports['CONTROLLER']}",
        f"listeners={outside},CONTROLLER://127.0.0.1:{ports['CONTROLLER']}",
        f"advertised.listeners={outside}",
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT," + ",".join(f"{name}:{name}" for name in names),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "ssl.keystore.type=PKCS12", f"ssl.keystore.location={folder}/broker.p12", f"ssl.keystore.password={PASSWORD}",
        f"ssl.key.password={PASSWORD}", "ssl.truststore.type=PEM", f"ssl.truststore.location={folder}/ca.pem",
        "listener.name.ssl.ssl.client.auth=required",
    ]
    for name in ("sasl_plaintext", "sasl_ssl"):
        lines.append(f"listener.name.{name}.plain.sasl.jaas.config={plain}")
        lines += [f"listener.name.{name}.scram-sha-{bits}.sasl.jaas.config={scram}" for bits in (256, 512)]
    path = os.path.join(folder, "broker.properties")
    with open(path, "w") as out:
        out.write("\n".join(lines) + "\n")
    return path


def run(db, root, folder):
    """Reads and writes over each listener, with the right words and with wrong ones."""
    folder = os.path.join(folder, "security")
    os.makedirs(folder)
    certificates(folder)
    ports = {name: free_port() for name in ("PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL", "CONTROLLER")}
    broker = Broker(root, os.path.join(folder, "data"))
    broker.call("start", "--port", str(ports["PLAINTEXT"]), "--properties", properties(folder, ports))
    try:
        kafka = Kafka(f"127.0.0.1:{ports['PLAINTEXT']}")
        users(kafka.address)
        kafka.create("guarded")
        kafka.send("guarded", [(0, None, {"n": 1})])
        tries(db, ports, folder)
        check("all of them have written", len(kafka.read("guarded")), 1 + len(ways(folder)))
    finally:
        broker.stop()


def users(address):
    """The user alice, for SCRAM."""
    admin = AdminClient({"bootstrap.servers": address})
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        info = ScramCredentialInfo(mechanism, 4096)
        made = admin.alter_user_scram_credentials([UserScramCredentialUpsertion("alice", info, PASSWORD.encode())])
        for done in made.values():
            done.result(30)


def sasl(mechanism, protocol):
    """Properties with a name and a password."""
    return {"security.protocol": protocol, "sasl.mechanism": mechanism, "sasl.username": "alice",
            "sasl.password": PASSWORD}


def ways(folder):
    """The ways in: name, listener, properties; what they become when they are wrong; the error then."""
    ca = {"ssl.ca.location": f"{folder}/ca.pem"}
    client = {"security.protocol": "SSL", **ca, "ssl.certificate.location": f"{folder}/client.pem",
              "ssl.key.location": f"{folder}/client.key"}
    store = {"security.protocol": "SSL", **ca, "ssl.keystore.location": f"{folder}/client.p12",
             "ssl.keystore.password": PASSWORD}
    jaas = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config":
            f"org.apache.kafka.common.security.plain.PlainLoginModule required username=\"alice\" password=\"{PASSWORD}\";"}
    wrong = {"sasl.password": "wrong"}
    return [
        ("plain", "SASL_PLAINTEXT", sasl("PLAIN", "SASL_PLAINTEXT"), wrong, "uthentication failed"),
        ("jaas", "SASL_PLAINTEXT", jaas, {"sasl.jaas.config": jaas["sasl.jaas.config"].replace(PASSWORD, "no")},
         "uthentication failed"),
        ("scram256", "SASL_PLAINTEXT", sasl("SCRAM-SHA-256", "SASL_PLAINTEXT"), wrong, "uthentication failed"),
        ("scram512", "SASL_SSL", {**sasl("SCRAM-SHA-512", "SASL_SSL"), **ca}, wrong, "uthentication failed"),
        ("tls", "SASL_SSL", {**sasl("PLAIN", "SASL_SSL"), **ca}, {"ssl.ca.location": f"{folder}/client.pem"},
         "verify failed"),
        ("certificate", "SSL", client, {"ssl.ca.location": f"{folder}/broker.pem"}, "verify failed"),
        ("keystore", "SSL", store, {"ssl.keystore.password": "wrong"}, "keystore"),
    ]


def tries(db, ports, folder):
    """Each way with the right words and with wrong ones."""
    def declare(name, listener, words):
        more = ", ".join(f"'properties.{key}' = '{value}'" for key, value in words.items())
        db.execute(table(name, "n BIGINT", "guarded", f"127.0.0.1:{ports[listener]}",
                         f"'scan.startup.mode' = 'earliest-offset', {more}"))

    for number, (name, listener, words, wrong, part) in enumerate(ways(folder), 1):
        declare(f"by_{name}", listener, words)
        check(f"{name}: read", rows(db, f"SELECT count(*) FROM by_{name}"), [(number,)])
        db.execute(f"INSERT INTO by_{name} VALUES ({number})")
        check(f"{name}: written", rows(db, f"SELECT max(n) FROM by_{name}"), [(number if number > 1 else 1,)])
        try:
            declare(f"not_{name}", listener, {**words, **wrong})
            error = fails(db, f"SELECT count(*) FROM not_{name}")
        except Exception as refused:  # Some words are refused when the table is made.
            error = str(refused)
        check(f"{name}: refused with wrong words", part in error or error, True)
        check(f"{name}: no secret in it", PASSWORD in error, False)
    plan = "".join(row[0] for row in rows(db, "EXPLAIN SELECT * FROM by_plain"))
    check("EXPLAIN has no secret", PASSWORD in plan, False)
