"""The generators that a request may name, as the bootstrap gathers them."""

from app.bootstrap.generators import build_generator, build_models, chat_model
from app.generation.prompted import PromptedGenerator
from app.generation.rescue import RescuedGenerator
from app.generation.sentences import SentenceSelector
from app.settings import GenerationSettings, RemoteSettings, Settings

SERVER = RemoteSettings(base_url="http://127.0.0.1:9/v1")


def gathered(tmp_path, **generation):
    settings = Settings(
        home=tmp_path, generation=GenerationSettings(generator="sentences", remote=SERVER, **generation)
    )
    made = []

    def bundled():
        made.append(SentenceSelector())
        return made[-1]

    chat = chat_model(settings)
    main = build_generator(settings, chat, bundled)
    models = build_models(settings, main, bundled if chat else None)
    for generator in {id(each): each for each in models.values()}.values():
        if isinstance(generator, PromptedGenerator | RescuedGenerator):
            generator.close()
    return main, models


def test_each_model_has_its_name_with_and_without_its_kind(tmp_path):
    main, models = gathered(tmp_path, model="remote:a", models=("remote:b/c",), on_failure="fail")
    assert set(models) == {"remote:a", "a", "remote:b/c", "b/c"}
    assert models["a"] is models["remote:a"] is main
    assert models["b/c"].name == "remote:b/c"


def test_the_bundled_one_stands_beside_a_model_that_it_rescues(tmp_path):
    main, models = gathered(tmp_path, model="remote:a")
    assert set(models) == {"remote:a", "a", "bundled"}
    assert isinstance(main, RescuedGenerator)
    assert isinstance(models["bundled"], SentenceSelector)


def test_a_bundled_generator_has_further_models_beside_it(tmp_path):
    main, models = gathered(tmp_path, models=("remote:a",))
    assert set(models) == {"bundled", "remote:a", "a"}
    assert models["bundled"] is main
