"""The queue's users of deploy/redis-users.acl: everything of modq runs with them, and they can do nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import AuthenticationError, Redis, ResponseError
from redis.exceptions import NoPermissionError
from sqlalchemy import Engine, func, select

from modq import Post, Producer
from modq.post import LANES, stream_of
from modq_worker.embedded import ValkeyServer
from modq_worker.stream import ALIVE, GROUP
from modq_worker.tables import DeadLetterRow, VerdictRow

DEPLOY = Path(__file__).parents[2] / "deploy"


class GuardedValkey(ValkeyServer):
    """A server as an operator sets it up: its users are those of the file, with the passwords that the script made."""

    def __init__(self, folder: Path, users: Path) -> None:
        super().__init__(folder, appendonly=False)
        self._users = users

    @property
    def url(self) -> str:
        return self.url_of("admin")

    def url_of(self, user: str) -> str:
        return f"redis://modq_{user}:{(self._users / f'{user}-password').read_text()}@127.0.0.1:{self.port}/0"

    def client(self, user: str) -> Redis:
        return Redis.from_url(self.url_of(user), socket_timeout=5)

    def _configuration(self) -> str:
        return f"{super()._configuration()}aclfile {self._users / 'users.acl'}\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedValkey]:
    folder = tmp_path_factory.mktemp("guarded")
    subprocess.run([DEPLOY / "make-redis-users", folder / "users"], check=True)
    with GuardedValkey(folder / "server", folder / "users") as server:
        yield server


@pytest.fixture
def admin(guarded: GuardedValkey) -> Iterator[Redis]:
    """May do everything; begins with an empty server and an empty log of denials."""
    with guarded.client("admin") as client:
        client.flushall()
        client.acl_log_reset()
        yield client


def denials(admin: Redis) -> list[str]:
    return [f"{entry['username']}: {entry['reason']} {entry['object']}" for entry in admin.acl_log()]


def counted(engine: Engine, table: type[VerdictRow] | type[DeadLetterRow]) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def left(admin: Redis) -> int:
    return sum(admin.xlen(stream_of(lane)) + admin.xpending(stream_of(lane), GROUP)["pending"] for lane in LANES)


def test_everything_of_modq_runs_with_its_own_user_and_none_is_ever_denied(
    guarded: GuardedValkey, admin: Redis, start, engine: Engine, wait_for: Callable[..., None]
) -> None:
    as_worker, as_producer, as_operator = ({"MODQ_REDIS_URL": guarded.url_of(user)} for user in ("worker", "producer", "operator"))
    first, second = start("work", "--name=first@here", **as_worker), start("work", "--name=second@here", **as_worker)
    wait_for(lambda: len(admin.keys(f"{ALIVE}*")) == 2, 90)

    assert start("submit", "hello", **as_producer).popen.wait(60) == 0
    wait_for(lambda: counted(engine, VerdictRow) == 1)

    admin.xadd(stream_of("live"), {"post": "{"})
    wait_for(lambda: counted(engine, DeadLetterRow) == 1)
    assert start("dead-letters", "replay", "--all", **as_operator).popen.wait(60) == 0
    wait_for(lambda: counted(engine, DeadLetterRow) == 2)

    # A worker that is killed leaves entries that another claims, and tries one by one.
    with Producer(guarded.url_of("producer")) as producer:
        producer.submit_many((Post(f"post-{n}", f"Good morning number {n}") for n in range(1500)), lane="backlog")
    wait_for(lambda: admin.xpending(stream_of("backlog"), GROUP)["pending"] > 0)
    first.kill()
    wait_for(lambda: counted(engine, VerdictRow) == 1501, 90)
    wait_for(lambda: left(admin) == 0)

    erase = start("erase", "--author", "ada", "--yes", **as_operator)
    assert erase.popen.wait(60) == 0, erase.log.read_text()
    check = start("work", "--check", **as_worker)
    assert check.popen.wait(60) == 0, check.log.read_text()
    celery = (sys.executable, "-m", "celery", "-A", "modq_worker.celery_app")
    ping = start("inspect", "ping", "-t", "10", command=celery, **as_worker)
    assert ping.popen.wait(60) == 0, ping.log.read_text()
    assert second.stop() == 0
    assert denials(admin) == []


SELDOM = """
from kombu import Queue
from modq_worker.celery_app import app, drain, queue_of

with app.connection() as connection:
    channel = connection.default_channel
    queue = Queue(queue_of("live"))(channel)
    queue.declare()
    drain.apply_async(queue=queue.name)
    assert queue.get() is not None, "the doorbell did not arrive"
    channel.qos.visibility_timeout = -1
    channel.qos.restore_visible(interval=1)
    assert channel._size(queue.name) == 1, "the doorbell was not restored"
    channel.sweep_bindings()
    queue.purge()
    queue.delete()
"""


def test_what_celery_does_seldom_is_allowed_too(guarded: GuardedValkey, admin: Redis, start) -> None:
    """To bring back a doorbell whose worker died, and to tidy up: in a running worker, after a minute or an hour."""
    script = start("-c", SELDOM, command=(sys.executable,), MODQ_REDIS_URL=guarded.url_of("worker"))
    assert script.popen.wait(60) == 0, script.log.read_text()
    assert denials(admin) == []


LIVE = stream_of("live")
DOORBELLS = "modq:celery:modq.live"


@pytest.mark.parametrize(
    "command",
    [
        # read
        ["XRANGE", LIVE, "-", "+"],
        ["XREAD", "STREAMS", LIVE, "0"],
        ["XREADGROUP", "GROUP", GROUP, "me", "STREAMS", LIVE, ">"],
        ["XLEN", LIVE],
        ["XINFO", "STREAM", LIVE],
        ["GET", "modq:alive:someone"],
        ["DUMP", LIVE],
        ["SORT", LIVE, "STORE", "elsewhere"],
        # delete
        ["XDEL", LIVE, "0-1"],
        ["XTRIM", LIVE, "MAXLEN", "0"],
        ["DEL", LIVE],
        ["UNLINK", LIVE],
        ["EXPIRE", LIVE, "1"],
        ["RENAME", LIVE, "elsewhere"],
        ["FLUSHALL"],
        ["FLUSHDB"],
        ["XGROUP", "DESTROY", LIVE, GROUP],
        # write elsewhere
        ["LPUSH", DOORBELLS, "{}"],
        ["RPUSH", DOORBELLS, "{}"],
        ["XADD", DOORBELLS, "*", "post", "{}"],
        ["XADD", "modq:posts:other", "*", "post", "{}"],
        ["XADD", "another-application", "*", "post", "{}"],
        ["SET", "modq:alive:someone", "alive"],
        ["HSET", "modq:attempts", "live/0-1", "9"],
        ["SADD", "modq:celery:_kombu.binding.modq.live", "x"],
        ["PUBLISH", "modq:celery:/0.celery.pidbox", "{}"],
        ["SUBSCRIBE", "modq:celery:/0.celery.pidbox"],
        # rule the server
        ["CONFIG", "GET", "*"],
        ["CONFIG", "SET", "dir", "/tmp"],
        ["EVAL", "return 1", "0"],
        ["EVALSHA", "0" * 40, "0"],
        ["FUNCTION", "LIST"],
        ["SCRIPT", "LOAD", "return 1"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["ACL", "LIST"],
        ["ACL", "SETUSER", "modq_producer", "+@all"],
        ["MONITOR"],
        ["CLIENT", "LIST"],
        ["CLIENT", "KILL", "TYPE", "normal"],
        ["INFO"],
        ["REPLICAOF", "127.0.0.1", "1"],
        ["MODULE", "LIST"],
        ["SHUTDOWN", "NOSAVE"],
        ["MULTI"],
        ["SELECT", "1"],
    ],
    ids=" ".join,
)
def test_a_producer_can_do_nothing_but_publish(guarded: GuardedValkey, admin: Redis, command: list[str]) -> None:
    entry = admin.xadd(LIVE, {"post": "{}"})
    with guarded.client("producer") as producer, pytest.raises(NoPermissionError):
        producer.execute_command(*command)
    assert [id for id, _ in admin.xrange(LIVE)] == [entry]
    assert admin.keys() == [LIVE.encode()]


@pytest.mark.parametrize("trick", [["MAXLEN", "0", "*"], ["18446744073709551615-18446744073709551614"]], ids=["trim", "last id"])
def test_what_no_acl_can_forbid_a_producer_is_as_security_md_says(guarded: GuardedValkey, admin: Redis, trick: list[str]) -> None:
    """XADD's own options: SECURITY.md warns of them, and must no longer when this fails."""
    entry = admin.xadd(LIVE, {"post": "{}"})
    with guarded.client("producer") as producer:
        producer.execute_command("XADD", LIVE, *trick, "post", "{}")
        producer.execute_command("XADD", LIVE, "*", "post", "{}")
        if trick[0] == "MAXLEN":
            assert entry not in [id for id, _ in admin.xrange(LIVE)]
        else:
            with pytest.raises(ResponseError):
                producer.execute_command("XADD", LIVE, "*", "post", "{}")


@pytest.mark.parametrize(
    "command",
    [
        # Not even publish: whoever judges cannot put words into people's mouths.
        ["XADD", LIVE, "*", "post", "{}"],
        ["XTRIM", LIVE, "MAXLEN", "0"],
        ["XGROUP", "DESTROY", LIVE, GROUP],
        ["XGROUP", "SETID", LIVE, GROUP, "$"],
        ["GET", "another-application"],
        ["SET", "another-application", "1"],
        ["DEL", "another-application"],
        ["EVAL", "return redis.call('GET', 'another-application')", "0"],
        ["EVAL", "return redis.call('FLUSHALL')", "0"],
        ["PUBLISH", "another-application", "1"],
        ["PSUBSCRIBE", "*"],
        ["KEYS", "*"],
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["MONITOR"],
        ["CLIENT", "LIST"],
        ["INFO"],
        ["REPLICAOF", "127.0.0.1", "1"],
        ["SHUTDOWN", "NOSAVE"],
        ["FUNCTION", "LIST"],
        ["MODULE", "LIST"],
    ],
    ids=" ".join,
)
def test_a_worker_can_do_nothing_but_its_work(guarded: GuardedValkey, admin: Redis, command: list[str]) -> None:
    admin.set("another-application", "its own")
    with guarded.client("worker") as worker, pytest.raises((NoPermissionError, ResponseError), match="permission"):
        worker.execute_command(*command)
    assert admin.get("another-application") == b"its own"


@pytest.mark.parametrize(
    "command",
    [
        ["LPUSH", DOORBELLS, "{}"],
        ["SET", "modq:alive:someone", "alive"],
        ["XGROUP", "DESTROY", LIVE, GROUP],
        ["DEL", LIVE],
        ["HGET", "modq:scores:new", "0"],
        ["GET", "another-application"],
        ["EVAL", "return redis.call('LPUSH', 'modq:celery:modq.live', '{}')", "0"],
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["KEYS", "*"],
    ],
    ids=" ".join,
)
def test_an_operator_has_the_streams_and_no_hold_on_workers_or_server(guarded: GuardedValkey, admin: Redis, command: list[str]) -> None:
    with guarded.client("operator") as operator, pytest.raises((NoPermissionError, ResponseError), match="permission"):
        operator.execute_command(*command)


def test_nobody_gets_in_without_a_user(guarded: GuardedValkey, admin: Redis) -> None:
    place = f"127.0.0.1:{guarded.port}/0"
    with Redis.from_url(f"redis://{place}") as nobody, pytest.raises(AuthenticationError):
        nobody.ping()
    with Redis.from_url(f"redis://default:@{place}") as default, pytest.raises(AuthenticationError):
        default.ping()


def test_a_file_with_its_placeholders_left_in_lets_nobody_in(tmp_path: Path) -> None:
    from modq_worker.child import ChildFailed

    users = tmp_path / "users"
    users.mkdir()
    (users / "users.acl").write_text((DEPLOY / "redis-users.acl").read_text())
    (users / "admin-password").write_text("SHA256_OF_ADMIN_PASSWORD")
    with pytest.raises(ChildFailed, match="ended at once"):
        GuardedValkey(tmp_path / "server", users).start()


def test_passwords_are_for_their_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "users"
    subprocess.run([DEPLOY / "make-redis-users", folder], check=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert made.keys() == {"users.acl", "producer-password", "worker-password", "operator-password", "admin-password"}
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
    assert not [name for name in made if name != "users.acl" and made[name] in made["users.acl"]]
    assert "SHA256_OF" not in made["users.acl"]
    assert subprocess.run([DEPLOY / "make-redis-users", folder], capture_output=True, check=False).returncode != 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
