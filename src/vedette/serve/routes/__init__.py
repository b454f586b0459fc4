"""The endpoints, one file for each group: ``router(services)`` gives its APIRouter."""
