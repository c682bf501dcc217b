"""Rules: the functions that workflow code must not call, or had better not, and what to write instead."""

from __future__ import annotations

from typing import Final, NamedTuple


class Rule(NamedTuple):
    """What is wrong with a function, and what to write instead."""

    why: str
    instead: str
    certain: bool


_SLEEP: Final = "write `await step.sleep(seconds)` or `await asyncio.sleep(seconds)`"
_CLOCK: Final = "reads the machine's clock"
_RANDOM: Final = "differs on every replay"
_MACHINE: Final = "differs between workers"
_ACTION: Final = "do it in a function decorated with @manager.action and call step.run_action"
_THREAD: Final = "await steps side by side (asyncio.gather), or call an action: a plain `def` runs in a thread"


def _mistakes(why: str, instead: str, names: str) -> dict[str, Rule]:
    return {name: Rule(why, instead, certain=True) for name in names.split()}


def _doubts(why: str, instead: str, names: str) -> dict[str, Rule]:
    return {name: Rule(why, instead, certain=False) for name in names.split()}


RULES: Final[dict[str, Rule]] = {
    **_mistakes(_CLOCK, "write `step.now()`", "datetime.datetime.now datetime.datetime.utcnow"),
    **_mistakes(_CLOCK, "write `step.now()`, or `step.now().date()` for the day", "datetime.date.today"),
    **_mistakes("blocks the worker", _SLEEP, "time.sleep"),
    **_mistakes("tells machine and time", "write `uuid.uuid4()` or `step.uuid4()`", "uuid.uuid1"),
    **_mistakes(
        "does I/O",
        _ACTION,
        """io.open os.open builtins.input
        os.system os.popen os.remove os.unlink os.rename os.replace os.mkdir os.makedirs os.rmdir os.removedirs
        os.listdir os.scandir os.walk os.fork os.execv os.execve os.spawnv os.posix_spawn
        shutil.copy shutil.copy2 shutil.copyfile shutil.copytree shutil.move shutil.rmtree
        subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.Popen
        subprocess.getoutput subprocess.getstatusoutput
        socket.socket socket.create_connection socket.create_server socket.getaddrinfo socket.gethostbyname
        urllib.request.urlopen urllib.request.urlretrieve http.client.HTTPConnection http.client.HTTPSConnection
        smtplib.SMTP smtplib.SMTP_SSL ftplib.FTP sqlite3.connect
        tempfile.mkstemp tempfile.mkdtemp tempfile.TemporaryFile tempfile.NamedTemporaryFile
        tempfile.TemporaryDirectory
        requests.get requests.post requests.put requests.patch requests.delete requests.head requests.options
        requests.request
        httpx.get httpx.post httpx.put httpx.patch httpx.delete httpx.head httpx.options httpx.request httpx.stream
        urllib3.request""",
    ),
    **_doubts(
        "does I/O",
        _ACTION,
        """requests.Session httpx.Client httpx.AsyncClient aiohttp.ClientSession aiohttp.request urllib3.PoolManager
        boto3.client boto3.resource redis.Redis redis.StrictRedis redis.from_url redis.asyncio.Redis
        redis.asyncio.from_url psycopg.connect psycopg2.connect asyncpg.connect pymongo.MongoClient
        sqlalchemy.create_engine aiofiles.open anyio.open_file
        asyncio.open_connection asyncio.open_unix_connection asyncio.start_server asyncio.start_unix_server
        asyncio.create_subprocess_exec asyncio.create_subprocess_shell
        os.stat os.path.exists os.path.isfile os.path.isdir os.path.getmtime os.path.getsize glob.glob glob.iglob""",
    ),
    **_doubts(
        _CLOCK,
        "write `step.now()`",
        """pendulum.now pendulum.today arrow.now arrow.utcnow django.utils.timezone.now django.utils.timezone.localtime
        pandas.Timestamp.now pandas.Timestamp.today numpy.datetime64""",
    ),
    **_doubts(
        _RANDOM,
        "draw it in a function decorated with @manager.action; for random numbers use `step.random`",
        """os.urandom secrets.token_bytes secrets.token_hex secrets.token_urlsafe secrets.choice secrets.randbelow
        secrets.randbits random.SystemRandom numpy.random.rand numpy.random.randn numpy.random.randint
        numpy.random.random numpy.random.choice numpy.random.shuffle numpy.random.default_rng""",
    ),
    **_doubts(
        _MACHINE,
        "pass it as an argument of the workflow, or get it from an action",
        """os.getenv os.environ os.environb os.getpid os.getppid os.getcwd os.cpu_count os.uname os.getlogin
        socket.gethostname socket.getfqdn platform.node platform.platform platform.uname platform.python_version
        uuid.getnode builtins.id sys.argv sys.stdin pathlib.Path.cwd pathlib.Path.home""",
    ),
    **_doubts(
        "runs code where nothing is recorded",
        _THREAD,
        """threading.Thread threading.Timer _thread.start_new_thread multiprocessing.Process multiprocessing.Pool
        concurrent.futures.thread.ThreadPoolExecutor concurrent.futures.process.ProcessPoolExecutor
        concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor
        asyncio.to_thread asyncio.run asyncio.new_event_loop asyncio.run_coroutine_threadsafe asyncio.Runner""",
    ),
    **_doubts(
        "waits for other threads",
        "use asyncio.Lock, asyncio.Event, asyncio.Queue of the same name",
        """threading.Lock threading.RLock threading.Event threading.Condition threading.Semaphore threading.Barrier
        queue.Queue queue.SimpleQueue""",
    ),
}  # fmt: skip
"""Name, as ``naming`` gives it → rule."""

CLOCK_BY_VALUE: Final = Rule(
    "was imported by its name, which keeps the machine's clock", "write `import time` and `time.{}()`", certain=True
)
RANDOM_BY_VALUE: Final = Rule(
    "was imported by its name, which differs on every replay", "write `import random` and `random.{}(…)`", certain=True
)
