PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: compare test slow lint types docs clean

## the main job: acquire three priors and the controls on the embedded glyphs, and compare them on unseen alphabets
compare: $(VENV)/user
	$(VENV)/bin/metaprior compare --tasks glyphs --tasks.queries 5 --priors maml,protonet,ridge \
		--net conv4 --net.width 32 --budget 20 --tasks_per_step 2 --learning_rate 0.003 --episodes 200 \
		--shots 1,5 --shots-episodes 20 --validations 5 --validation-tasks 20 --out runs/compare

## the tests, on all cores, one thread each
test: $(VENV)/developer
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q --durations 15 --numprocesses auto --dist loadgroup

## the tests that take longer than a minute each
slow: $(VENV)/developer
	$(VENV)/bin/python -m pytest -q -m slow

lint: $(VENV)/developer
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/developer
	$(VENV)/bin/mypy

docs: $(VENV)/developer
	$(VENV)/bin/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) site build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/user: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --no-compile --editable '.[vision]'
	touch $@

$(VENV)/developer: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[dev]'
	touch $@
