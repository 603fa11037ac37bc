"""The tutorial through Python. `make demo` runs it in a folder with ``repo`` and ``digits`` in it."""

from pprint import pprint

import ahstore as ah

ah.login(host="python-store")

dataset_folder = ah.create_folder(type_="dataset", name="image-classification")
dataset = dataset_folder.create_asset(name="digits")
dataset.create_commit(msg="Add the digits", add=["digits/*"])

model_folder = ah.create_folder(type_="model", name="image-classification")
model = model_folder.create_asset(name="digits-mlp")

code = {"git_repo": "repo", "git_revision": "master", "git_subpath": "digits"}
run = model.train(branch="epoch-5", dataset=dataset, volume="100Mi", **code)
pprint(model.list_workflow())
run.wait()

branch = model.get_branch(name="epoch-5")
pprint(branch.list_object())

continued = model.train(
    branch="epoch-10", dataset=dataset, checkpoint=branch, volume="100Mi", **code
)
continued.wait()

branch.evaluate(dataset=dataset, volume="100Mi", **code).wait()
model.get_branch(name="epoch-10").evaluate(dataset=dataset, volume="100Mi", **code).wait()

pprint(branch.list_evaluation())
for name in ("epoch-5", "epoch-10"):
    [evaluation] = model.get_branch(name=name).list_evaluation()
    print(name, evaluation["results"]["metric"])

ah.logout()
