import logging
import sys

import pytest

from recsys_vae.errors import UnavailableError, UnknownNameError
from recsys_vae.redaction import redact_logs, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://me:pa55@host/db is down", "postgresql+psycopg://me:***@host/db is down"),
        ("https://me:pa55@host:5000", "https://me:***@host:5000"),
        ("redis://:pa55@host:6379/0", "redis://:***@host:6379/0"),
        ("mysql://me:p@55@host/db", "mysql://me:***@host/db"),
        ('"url": "http://me:pa55@host/api"', '"url": "http://me:***@host/api"'),
        ("http://a:pa55@h/x and http://b:pa66@h/y", "http://a:***@h/x and http://b:***@h/y"),
        ("s3://bucket/x?X-Amz-Signature=abc&X-Amz-Expires=9", "s3://bucket/x?X-Amz-Signature=***&X-Amz-Expires=9"),
        ("https://a.blob/x?sv=1&sig=abc%3D", "https://a.blob/x?sv=1&sig=***"),
        ("gs://b/o?access_token=abc def", "gs://b/o?access_token=*** def"),
        ("host=h password=abc dbname=d", "host=h password=*** dbname=d"),
        ("DefaultEndpointsProtocol=https;AccountKey=abc==;X=1", "DefaultEndpointsProtocol=https;AccountKey=***;X=1"),
        ("databricks", "databricks"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("models:/movies@champion", "models:/movies@champion"),
        ("http://host:5000/me@example.org", "http://host:5000/me@example.org"),
        ("expected user_id=COLUMN, sigma=0.1", "expected user_id=COLUMN, sigma=0.1"),
    ],
)
def test_secrets_are_hidden_and_nothing_else_is(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_what_the_environment_keeps_secret_is_hidden_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open sesame/1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:of/the%40gods@host")
    assert redacted("Basic open sesame/1") == "Basic ***"
    assert redacted("?p=open%20sesame%2F1") == "?p=***"
    assert redacted("said of/the%40gods, of/the@gods") == "said ***, ***"


def test_a_secret_that_is_a_word_does_not_take_words_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "recsys")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "movielens")
    assert redacted("run `recsys doctor` on movielens1m") == "run `recsys doctor` on movielens1m"
    assert redacted("user me, password: movielens") == "user me, password: ***"
    assert redacted("postgresql://me:recsys@host/recsys") == "postgresql://me:***@host/recsys"


def test_errors_of_ours_and_log_lines_are_redacted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    cause = OSError("http://me:pa55@host refuses")
    assert str(UnavailableError(f"MLflow does not answer: {cause}")).endswith("http://me:***@host refuses")
    assert "pa55" not in str(UnknownNameError("model", "http://me:pa55@host", []))
    before = logging.getLogRecordFactory()
    try:
        redact_logs()
        logging.getLogger("anybody").warning("asking %s", cause)
    finally:
        logging.setLogRecordFactory(before)
    assert caplog.messages == ["asking http://me:***@host refuses"]
