"""What `make lab` saves: of the notebooks in notebooks/ the sources alone, so that looking at them changes no file.

JupyterLab saves a notebook every two minutes, with its outputs, its counters and what it knows of the kernel. None of
that is committed here, and a newer file makes all stale that rests on it. Other notebooks are saved as they are.
"""

import nbformat
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def source(content):
    """A notebook without what a kernel or a viewer adds: as it is committed  ->  a notebook of its own.

    >>> cell = nbformat.v4.new_code_cell("1 + 1", execution_count=3, metadata={"trusted": True, "tags": ["parameters"]})
    >>> kept = source(nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}}))
    >>> kept.cells[0].execution_count, kept.cells[0].metadata, "widgets" in kept.metadata
    (None, {'tags': ['parameters']}, False)
    """
    kept = nbformat.from_dict({**content, "metadata": METADATA})
    for cell in kept.cells:
        cell.metadata = nbformat.from_dict({key: value for key, value in cell.metadata.items() if key == "tags"})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return kept


class Sources(AsyncLargeFileManager):
    """JupyterLab's files, saved as above: `jupyter lab --ServerApp.contents_manager_class=qafs_utils.make.lab.Sources`.

    >>> files = Sources(root_dir=".")
    >>> files.is_source("notebooks/03_qubo.ipynb"), files.is_source("build/published/notebooks/03_qubo.ipynb")
    (True, False)
    """

    def is_source(self, path):
        """Whether a path from the root is a notebook in notebooks/."""
        folder, _, name = path.strip("/").rpartition("/")
        return folder == "notebooks" and name.endswith(".ipynb")

    async def save(self, model, path=""):
        """Save a file; a notebook whose source is what the file holds is not written again."""
        if model.get("type") != "notebook" or not model.get("content") or not self.is_source(path):
            return await super().save(model, path)
        model = model | {"content": source(model["content"])}
        if await self.file_exists(path):
            there = await self.get(path, type="file", format="text")
            if there["content"].rstrip() == nbformat.writes(model["content"]):
                return await self.get(path, content=False)
        return await super().save(model, path)
